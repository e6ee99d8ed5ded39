// A mailbox that is taken to another pool, at its old place (docs/decisions/0013).
//
// Every function is harmless when it is called again, and whoever is killed within leaves nothing that a next
// call does not mend. They block on the disk.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/message_file.h"
#include "common/file.h"

namespace prov::maildir {

// All messages that are there, held or not. A mailbox that is not there has none.
absl::StatusOr<std::vector<MessageFile>> ListMessages(std::string_view root, std::string_view mailbox_id);

// NOT_FOUND when it is gone or has another name by now.
absl::StatusOr<FileDescriptor> OpenMessage(std::string_view root, std::string_view mailbox_id,
                                           const MessageFile& file);

// Puts it out of the reach of deliveries and readers, on all hosts of the pool at once: it is renamed to
// ID.leaving. A delivery that began before ends there, or fails. From then on nobody makes it again here,
// until it comes back (arrival.h). ABORTED while a session reads it.
absl::Status HoldMailbox(std::string_view root, std::string_view mailbox_id);

// Removes the named messages of a held mailbox, and the mailbox when none is left; whether it is gone.
// FAILED_PRECONDITION when something is left that is no mail.
absl::StatusOr<bool> ReleaseMessages(std::string_view root, std::string_view mailbox_id,
                                     const std::vector<MessageFile>& files);

}  // namespace prov::maildir
