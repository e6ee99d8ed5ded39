// What an engine tells the agent beside it, as Postfix's daemons tell master: lines through a pipe, which has
// a name below the state directory, for the two may have been started apart.
//
// A line is "ROLE=SESSIONS" for each role, with blanks between. Whoever is heard listens.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/file.h"
#include "prov/v1/fleet.pb.h"

namespace prov {

// Sessions and deliveries in progress, for each role that the engine plays.
using SessionCounts = std::map<v1::Role, uint64_t>;

constexpr char kEngineStatusName[] = "engine.status";
constexpr size_t kMostStatusOctets = 512;  // of a line; less than PIPE_BUF, so that it is written whole
// An engine speaks up when something has changed, and at least so often; one that was not heard for the other
// is gone, or stands still.
constexpr std::chrono::seconds kEngineSpeaks{3}, kEngineSilent{10};

// With its line end.
std::string EngineStatusLine(const SessionCounts& sessions);
// Without its line end. INVALID_ARGUMENT for what is none: the engine may have been taken over.
absl::StatusOr<SessionCounts> ParseEngineStatusLine(std::string_view line);

// The agent's end. Not thread-safe.
class EngineStatusReader {
 public:
  // Makes the pipe unless it is there; `group` may write to it.
  static absl::StatusOr<EngineStatusReader> Open(const std::string& state_directory,
                                                 std::optional<gid_t> group);

  // Takes in what has come. To be called about once a second.
  void Poll(std::chrono::steady_clock::time_point now);
  // The engine is known to have ended.
  void Forget() { sessions_.reset(); }
  // What was told last; nothing: no engine listens.
  const std::optional<SessionCounts>& sessions() const { return sessions_; }

 private:
  explicit EngineStatusReader(FileDescriptor pipe) : pipe_(std::move(pipe)) {}

  FileDescriptor pipe_;
  std::string text_;  // since the last line end
  std::optional<SessionCounts> sessions_;
  std::chrono::steady_clock::time_point heard_;
};

// The engine's end. Not thread-safe. Never waits: an agent that is away, or stands still, misses a line.
class EngineStatusWriter {
 public:
  explicit EngineStatusWriter(const std::string& state_directory)
      : path_(state_directory + "/" + kEngineStatusName) {}
  // To be called about once a second. SIGPIPE must be ignored.
  void Tell(const SessionCounts& sessions, std::chrono::steady_clock::time_point now);

 private:
  const std::string path_;
  FileDescriptor pipe_;
  std::string told_;
  std::chrono::steady_clock::time_point when_;
};

}  // namespace prov
