#include "server/api/follower_translation.h"

#include <google/protobuf/util/time_util.h>

#include "server/feed/view.h"

namespace prov::api {
namespace {

v1::FollowerProgress::State StateOf(feed::FollowerState state) {
  switch (state) {
    case feed::FollowerState::kCurrent:
      return v1::FollowerProgress::CURRENT;
    case feed::FollowerState::kBehind:
      return v1::FollowerProgress::BEHIND;
    case feed::FollowerState::kStuck:
      return v1::FollowerProgress::STUCK;
    case feed::FollowerState::kAbsent:
      return v1::FollowerProgress::ABSENT;
  }
  return v1::FollowerProgress::STATE_UNSPECIFIED;
}

}  // namespace

v1::FollowerProgress ToProto(const feed::Follower& follower) {
  v1::FollowerProgress proto;
  proto.set_name(follower.name);
  if (follower.role) proto.set_role(feed::ToProto(*follower.role));
  proto.set_state(StateOf(follower.state));
  proto.set_applied_revision(follower.applied_revision);
  proto.set_cause(follower.cause);
  proto.set_failing_items(follower.failing_items);
  if (follower.time_to_go) {
    *proto.mutable_time_to_go() =
        google::protobuf::util::TimeUtil::MillisecondsToDuration(follower.time_to_go->count());
  }
  return proto;
}

}  // namespace prov::api
