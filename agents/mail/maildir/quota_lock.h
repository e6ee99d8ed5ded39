// Keeps those who count what a mailbox holds apart from those who change it.
#pragma once

#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::maildir {

inline constexpr char kQuotaLockFile[] = "maildirsize.lock";

// Who has it has it for the time of a delivery, or of a walk through the mailbox. One who hangs, or the owner
// of the file who means ill, holds nobody up for longer: UNAVAILABLE.
inline constexpr std::chrono::seconds kQuotaPatience{5};

// F_RDLCK or F_WRLCK on all of an open file, for as long as it is open; UNAVAILABLE after kQuotaPatience.
absl::Status LockFile(int file, short type);

// An open file description lock, as MailboxLock is one: it reaches the other hosts of a pool over NFS, and
// ends with the object or the process. Other software does not know it.
class QuotaLock {
 public:
  // With others that add and remove messages, each of which tells the sum in its turn. Waits while somebody
  // counts.
  static absl::StatusOr<QuotaLock> Share(int mailbox);
  // Alone, to count. Waits for those who share it: for the time of a delivery.
  static absl::StatusOr<QuotaLock> Own(int mailbox);
  // From alone to with others, with nobody in between.
  absl::Status BeginSharing();

  QuotaLock() = default;  // holds nothing
  QuotaLock(QuotaLock&&) noexcept = default;
  QuotaLock& operator=(QuotaLock&&) noexcept;
  ~QuotaLock();

 private:
  explicit QuotaLock(FileDescriptor file) : file_(std::move(file)) {}
  static absl::StatusOr<QuotaLock> Take(int mailbox, short type);
  void Unlock();
  FileDescriptor file_;
};

}  // namespace prov::maildir
