#include "agents/state_watch.h"

#include <utility>

#include "common/status.h"

namespace prov {

StateWatch::StateWatch(std::function<absl::Status()> check, const Clock& clock)
    : check_(std::move(check)), clock_(clock) {}

void StateWatch::ObserveCrashes(uint64_t crashes) {
  suspect_ = suspect_ || crashes != crashes_;
  crashes_ = crashes;
}

void StateWatch::ObserveSpeaking(bool speaks) {
  suspect_ = suspect_ || (speaks_ && !speaks);
  speaks_ = speaks;
}

void StateWatch::ObserveRead(v1::Role role, const absl::StatusOr<state::Freshness>& read) {
  if (absl::IsDataLoss(read.status())) broken_ = read.status();
  if (!read.ok()) return;
  uint64_t& received = received_[role];
  suspect_ = suspect_ || read->received_revision < received;
  received = read->received_revision;
}

absl::Status StateWatch::Poll() {
  if (!broken_.ok()) return broken_;
  const auto now = clock_.Monotonic();
  if (!suspect_ || now < next_check_) return absl::OkStatus();
  suspect_ = false;
  next_check_ = now + kStateCheckInterval;
  // What could not be looked at is not known to be broken.
  if (const absl::Status status = check_(); absl::IsDataLoss(status)) broken_ = status;
  return broken_;
}

}  // namespace prov
