// When a mailbox was opened last, kept in it: all hosts of a pool see the same.
#pragma once

#include <chrono>

#include "absl/status/status.h"

namespace prov::maildir {

// An empty file; its time of change is the last login.
inline constexpr char kLoginTimeFile[] = "prov-last-login";

// UNAUTHENTICATED when the last login was less than `delay` ago. One of the future, by a clock that was set,
// holds nobody up. `mailbox` is an open directory, locked by its MailboxLock.
absl::Status CheckLastLogin(int mailbox, std::chrono::seconds delay);

// It is now.
absl::Status NoteLogin(int mailbox);

}  // namespace prov::maildir
