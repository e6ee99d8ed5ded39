// Directories opened step by step below the Maildir root, so that no symbolic link leads out of it.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::maildir {

// The three parts of ROOT/xx/yy/MAILBOX_ID below the root.
struct MailboxSteps {
  std::string first, second, name;
};

// INVALID_ARGUMENT unless the id is [a-z0-9-]{1,64}.
absl::StatusOr<MailboxSteps> StepsOf(std::string_view mailbox_id);

// The administrator's own choice of a root may be a symbolic link.
absl::StatusOr<FileDescriptor> OpenRoot(std::string_view root);

// One step down. NOT_FOUND when it is not there; FAILED_PRECONDITION when it is a link or no directory.
absl::StatusOr<FileDescriptor> OpenBelow(int parent, const std::string& name);

// Makes a directory, unless there is one. Durable after SyncOpenDirectory(parent).
absl::Status MakeBelow(int parent, const std::string& name);
absl::StatusOr<FileDescriptor> MakeAndOpen(int parent, const std::string& name);

// NOT_FOUND when any step is missing; FAILED_PRECONDITION when one is a link or no directory. In one system
// call below the root where there is openat2(2): each login and each delivery begins with it.
absl::StatusOr<FileDescriptor> OpenMailbox(std::string_view root, std::string_view mailbox_id);

// What is below `parent` in the kernel's memory, none of its steps a link (RESOLVE_CACHED): does not block.
// Invalid when that is not all of it, or it cannot be opened.
FileDescriptor OpenFromMemory(int parent, const std::string& path, int flags);
// The same of a mailbox, on a disk that IsOnLocalDisk has been asked about and that has a device of its own.
FileDescriptor OpenMailboxFromMemory(std::string_view root, std::string_view mailbox_id);

// Only of file systems that are known to be local: for any other, each word may go to a server, this one too.
bool IsOnLocalDisk(int fd);

// Which directory it is, whatever its name.
struct DirectoryIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const DirectoryIdentity&) const = default;
};
absl::StatusOr<DirectoryIdentity> IdentityOf(int directory);

// UNAVAILABLE unless that one lies in the mailbox's place.
absl::Status CheckInPlace(std::string_view root, std::string_view mailbox_id,
                          const DirectoryIdentity& mailbox);

// "has no tmp", …, of an open mailbox, for people; empty: it is whole. FAILED_PRECONDITION when one of its
// parts is a link or no directory.
absl::StatusOr<std::string> InspectParts(int mailbox);

// Calls `visit` with each name but those that start with a dot. Moves the descriptor's offset.
absl::Status ForEachMailName(int directory, const std::function<void(const dirent&)>& visit);

// Of an entry that was read from `directory`; a link is no file.
bool IsRegularFile(int directory, const dirent& entry);

// Makes names in the directory durable.
absl::Status SyncOpenDirectory(int fd, std::string_view name);

// Makes names in many directories durable together: few are synced one by one; of many, the file systems that
// they are on are synced whole, which is one wait for the disk each (docs/decisions/0020). Not thread-safe.
class DirectorySync {
 public:
  // To have been opened before names were made in it: the kernel tells later errors to who had it open.
  absl::Status Add(FileDescriptor directory);
  // An error stands for all that were added since the last one.
  absl::Status Finish(std::string_view name);

 private:
  std::map<dev_t, FileDescriptor> first_of_device_;
  std::vector<FileDescriptor> others_;  // unless they are many
  bool many_ = false;
};

}  // namespace prov::maildir
