// What of the engine's sessions is worth telling provd, and when.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "prov/v1/fleet.pb.h"

namespace prov {

// How old the number of sessions may be that provd knows, unless it comes from or goes to 0.
constexpr std::chrono::seconds kSessionsInterval{10};

struct Serving {
  std::optional<uint64_t> sessions;  // nothing: the role has no engine, or it does not speak
  bool ready = false;
  friend bool operator==(const Serving&, const Serving&) = default;
};

// Not thread-safe.
class ServingNotice {
 public:
  // True: it is to be told now, and is taken to have been.
  bool IsWorthTelling(v1::Role role, const Serving& serving, std::chrono::steady_clock::time_point now);

 private:
  struct Told {
    Serving serving;
    std::chrono::steady_clock::time_point when;
  };
  std::map<v1::Role, Told> told_;
};

}  // namespace prov
