// How fast a follower has applied revisions lately: pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace prov::feed {

class ProgressRate {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Work begins, or begins anew: the idle time before it does not count.
  void Begin(Time now) { last_ = now; }
  // So many were applied since the last call.
  void Note(uint64_t revisions, Time now);
  // How long so many more will take. Nothing until it was seen at work for a moment.
  std::optional<std::chrono::milliseconds> TimeFor(uint64_t revisions) const;

 private:
  // Both fade with a half-life of some seconds: their quotient is the rate.
  double revisions_ = 0;
  double seconds_ = 0;
  Time last_{};
};

}  // namespace prov::feed
