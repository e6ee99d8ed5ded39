// A mailbox that comes from another pool, at its new place (docs/decisions/0013).
//
// Messages are staged in ID.arriving under the names they have at the old place, and moved into the mailbox
// ID at the end. Mail that is delivered here meanwhile is in ID, and so is never taken for a copy.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "agents/mail/maildir/message_file.h"
#include "common/file.h"

namespace prov::maildir {

// Not thread-safe; blocks on the disk. Whoever is killed at any point goes on with a new one, and so does
// whoever is told ABORTED: its host was cut off from the storage, and another one is at it now.
class Arrival {
 public:
  // Makes the staging directory. ABORTED when another host of the pool is at it.
  static absl::StatusOr<std::unique_ptr<Arrival>> Open(std::string_view root, std::string_view mailbox_id);

  // By base, the part of the name that never changes: what is staged, and what an earlier Adopt has moved
  // into the mailbox. Nothing that was delivered here is among it, unless it has a copy's name.
  absl::StatusOr<std::map<std::string, MessageFile>> Here() const;

  // One message at a time: Begin, Append in pieces, Finish. Staged, and durable, after Commit: one for many
  // messages costs little more than one for each.
  absl::Status Begin(const MessageFile& file);
  absl::Status Append(std::string_view data);
  absl::Status Finish();
  absl::Status Commit();
  // Finished and not committed.
  size_t uncommitted() const { return finished_.size(); }

  // A staged message that has got flags, or been read, since it was copied.
  absl::Status Rename(const MessageFile& from, const MessageFile& to);
  // Drops what is staged and not among these bases: its reader has deleted it at the old place.
  absl::Status DropAllBut(const std::set<std::string>& bases);
  // Moves all that is staged into the mailbox. Durable when it returns.
  absl::Status Adopt();
  // After Adopt: the staging directory is not needed any more.
  absl::Status Close();

 private:
  Arrival(std::string root, std::string mailbox_id, FileDescriptor staging, MailboxLock lock);
  absl::Status SyncStaged();
  absl::Status AdoptPart(int mailbox, bool in_cur);

  const std::string root_, mailbox_id_;
  const FileDescriptor staging_;
  const MailboxLock lock_;
  MessageFile writing_;
  std::vector<MessageFile> finished_;
  FileDescriptor file_;
};

}  // namespace prov::maildir
