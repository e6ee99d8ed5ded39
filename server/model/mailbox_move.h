// A mailbox on its way from one store pool to another; docs/decisions/0013.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/model/subscriber.h"

namespace prov::model {

enum class MoveState { kCopying, kSwitching, kDone, kCancelled };

// "copying", "switching", "done", "cancelled": as stored and shown.
inline std::string_view MoveStateName(MoveState state) {
  switch (state) {
    case MoveState::kCopying:
      return "copying";
    case MoveState::kSwitching:
      return "switching";
    case MoveState::kDone:
      return "done";
    case MoveState::kCancelled:
      break;
  }
  return "cancelled";
}

struct MailboxMove {
  int64_t id = 0;
  int64_t subscriber_id = 0;
  std::string mailbox_id;  // the subscriber's uid
  std::string from_pool, to_pool;
  MoveState state = MoveState::kCopying;
  int64_t octets_copied = 0;
  int64_t octets_total = 0;
  std::string error;  // what stood in the way when a host last reported
  Time create_time;
  Time update_time;
  uint64_t revision = 0;

  // Hosts have something to do.
  bool IsOpen() const { return state == MoveState::kCopying || state == MoveState::kSwitching; }
};

}  // namespace prov::model
