// Maildirs that belong each to its subscriber's uid, for software that takes on the uid of whom it serves.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::drivers {

struct MaildirOwner {
  std::string mailbox_id;
  uid_t uid = 0;
};

// Gives each to its uid, with a group of the same number, and lets everybody pass through the directories
// above, which stay this process's. Only what is still this process's is given away: FAILED_PRECONDITION for
// one that is another's. Durable when it returns; a status for each.
std::vector<absl::Status> GiveMaildirs(const std::string& root, const std::vector<MaildirOwner>& owners);

// What keeps the owner from a maildir that is there, for people; empty: nothing.
absl::StatusOr<std::string> InspectMaildirOwner(const std::string& root, const MaildirOwner& owner);

}  // namespace prov::drivers
