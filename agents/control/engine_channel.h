// Asks the engine of this host, through its Unix socket (agents/mail/control/control_protocol.h).
#pragma once

#include <sys/types.h>

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace prov::control {

// Of a line; one message with many recipients fits.
constexpr size_t kMaxAnswerLineOctets = 512 << 10;

// Thread-safe: each question has a connection of its own. The engine parses what comes from the Internet:
// what it answers is checked for size and form, and believed no further.
class EngineChannel {
 public:
  // `user`: whose socket it must be; nothing: this process's.
  EngineChannel(std::string path, std::optional<uid_t> user) : path_(std::move(path)), user_(user) {}

  struct Question {
    const nlohmann::json* request = nullptr;
    // Called for each object before the last; an error ends it.
    std::function<absl::Status(const nlohmann::json& line)> line;
    std::function<bool()> cancelled;  // asked about twice a second
  };
  // The object of {"end": …}. UNAVAILABLE when no engine listens, or it breaks off; its own errors as they
  // are.
  absl::StatusOr<nlohmann::json> Ask(const Question& question) const;

 private:
  const std::string path_;
  const std::optional<uid_t> user_;
};

}  // namespace prov::control
