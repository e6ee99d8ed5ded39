#include "server/api/progress_stream.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include "common/status.h"
#include "server/api/follower_translation.h"

namespace prov::api {
namespace {

std::string KeyOf(const feed::Follower& follower) {
  return fmt::format("{} {}", follower.name, follower.role ? model::RoleName(*follower.role) : "");
}

}  // namespace

void ProgressStream::Begin() {
  workers_.Post([self = std::static_pointer_cast<ProgressStream>(shared_from_this())] {
    const absl::Status status = self->Prepare();
    const std::lock_guard lock(self->mutex_);
    if (!status.ok()) return self->EndLocked(status);
    self->prepared_ = true;
    self->LookLocked();
  });
}

// The fleet is read from the database, so that a host that was added a moment ago is waited for.
absl::Status ProgressStream::Prepare() {
  PROV_ASSIGN_OR_RETURN(const feed::Feed::FleetAtHead now, parts_.fleet->Refresh());
  if (revision_ == 0) revision_ = now.head_revision;
  if (revision_ <= now.head_revision) return absl::OkStatus();
  return InvalidField("revision",
                      fmt::format("{} is not written yet; the newest is {}", revision_, now.head_revision));
}

void ProgressStream::Look() {
  const std::lock_guard lock(mutex_);
  LookLocked();
}

void ProgressStream::LookLocked() {
  if (!prepared_ || !CanWrite()) return;
  if (converged_) return EndLocked(absl::OkStatus());
  std::vector<feed::Follower> followers = parts_.convergence->Followers(revision_, false);
  converged_ = feed::AllCurrent(followers);
  if (sent_any_ && followers == sent_ && !converged_) return;
  v1::RevisionProgress progress = Describe(followers);
  sent_ = std::move(followers);
  sent_any_ = true;
  Write(std::move(progress));
}

v1::RevisionProgress ProgressStream::Describe(const std::vector<feed::Follower>& followers) {
  v1::RevisionProgress progress;
  progress.set_revision(revision_);
  progress.set_converged(converged_);
  for (const feed::Follower& follower : followers) {
    v1::FollowerProgress* const proto = progress.add_followers();
    *proto = ToProto(follower);
    if (follower.state != feed::FollowerState::kCurrent) continue;
    const auto [took, first] = took_.try_emplace(KeyOf(follower), parts_.clock->Monotonic() - start_);
    *proto->mutable_took() = google::protobuf::util::TimeUtil::MicrosecondsToDuration(
        std::chrono::duration_cast<std::chrono::microseconds>(took->second).count());
  }
  return progress;
}

}  // namespace prov::api
