// Where a mailbox lies below the Maildir root: ROOT/xx/yy/MAILBOX_ID, hashed so that no directory grows
// large.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::maildir {

// INVALID_ARGUMENT unless the id is [a-z0-9-]{1,64}: it becomes a path, whoever sent it.
absl::StatusOr<std::string> MailboxPath(std::string_view root, std::string_view mailbox_id);

// Makes the mailbox with tmp, new and cur, durable when it returns. One that is there already is OK;
// UNAVAILABLE when it has been taken to another pool (departure.h).
absl::Status EnsureMailbox(std::string_view root, std::string_view mailbox_id);

// The same for many, waiting for the disk a few times for all of them; a status for each.
std::vector<absl::Status> EnsureMailboxes(std::string_view root, const std::vector<std::string>& mailbox_ids);

// Its open directory; made as EnsureMailbox does, if it is not there or not whole.
absl::StatusOr<FileDescriptor> OpenOrMakeMailbox(std::string_view root, std::string_view mailbox_id);

// What is wrong with it, for people: "is missing", "has no tmp", …; empty: it is there and whole.
absl::StatusOr<std::string> InspectMailbox(std::string_view root, std::string_view mailbox_id);
// What whoever acts may not do in a mailbox that is there, for people; empty: it may do all it must.
absl::StatusOr<std::string> InspectAccess(std::string_view root, std::string_view mailbox_id);

// Removes the mailbox and all mail in it, and what a move that was cut short left beside it. Already gone is
// OK. Never follows a symbolic link out of the root.
absl::Status RemoveMailbox(std::string_view root, std::string_view mailbox_id);

// Removes what a move that was called off has put beside the mailbox (arrival.h).
absl::Status RemoveArriving(std::string_view root, std::string_view mailbox_id);

}  // namespace prov::maildir
