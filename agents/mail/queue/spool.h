// The queue on disk: one file for each message (message_format.h), durable before it is acknowledged.
//
//   DIRECTORY/incoming   being written; emptied at start, for nothing in it was acknowledged
//   DIRECTORY/active     accepted: whole, synced, renamed to here, and the directory synced
//   DIRECTORY/spare      empty files for the next messages (spare_files.h); emptied at start
//   DIRECTORY/dead       what can neither be delivered nor returned, kept for an operator, the newest of it;
//   and
//                        torn files, ID.torn, all of them
//   DIRECTORY/lock       held by the one engine that works here
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/shared_sync.h"
#include "agents/mail/queue/spare_files.h"
#include "common/file.h"

namespace prov::queue {

// Free space that is left to others: a queue that takes everything takes the journal's space, too.
constexpr uint64_t kReservedOctets = 16 << 20;

// Notifications that nobody took: a flood of forged mail makes many, and they are worth little.
constexpr size_t kMostDead = 1000;

// One message being written. Not thread-safe, but may move between threads. Destroyed without Commit it
// leaves nothing.
class MessageWriter {
 public:
  virtual ~MessageWriter() = default;
  // CRLF text. RESOURCE_EXHAUSTED: disk full.
  virtual absl::Status Append(std::string_view content) = 0;
  // When it returns OK, the message outlives a power cut. Call once.
  virtual absl::StatusOr<StoredMessage> Commit() = 0;
};

// Content of one message, in pieces.
class ContentReader {
 public:
  virtual ~ContentReader() = default;
  // Empty at the end; at most 64 KiB.
  virtual absl::StatusOr<std::string> Read() = 0;
};

class Spool;

// Reads the queue in pieces, for it may be long. Not thread-safe, but may move between threads.
class SpoolScan {
 public:
  ~SpoolScan();
  // What lies in the next `most` files, in no order; nothing: that was all. Files that are torn are moved to
  // dead/; those that cannot be read now stay for the next start. Both are told of in the log.
  absl::StatusOr<std::optional<std::vector<StoredMessage>>> Next(size_t most);

 private:
  friend class Spool;
  struct Directory;
  SpoolScan(Spool& spool, std::unique_ptr<Directory> directory);
  absl::Status Read(const std::string& name, std::vector<StoredMessage>& messages);

  Spool& spool_;
  std::unique_ptr<Directory> directory_;  // none: at its end
};

// Thread-safe; what does not say otherwise blocks on the disk, so run it off the event loop.
class Spool {
 public:
  // Makes the directories. UNAVAILABLE when another process works here.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(const std::string& directory);

  // A new id: unique, and in the order of time.
  static std::string NewId(Time now);

  // RESOURCE_EXHAUSTED when a message of that size would not fit. Asks the kernel alone, and does not block.
  absl::Status CheckRoom(uint64_t octets) const;

  // `envelope` is complete; its id is new.
  absl::StatusOr<std::unique_ptr<MessageWriter>> Begin(Envelope envelope);

  // Begins to read what was acknowledged before this call and is not finished; what is committed from here on
  // is left out, however long the reading takes. One at a time.
  absl::StatusOr<std::unique_ptr<SpoolScan>> BeginScan();

  bool Has(const std::string& id) const;
  // NOT_FOUND when it is finished. DATA_LOSS when the file was spoilt.
  absl::StatusOr<StoredMessage> Load(const std::string& id) const;
  // Appends to the journal; durable when `durable`.
  absl::Status Record(const std::string& id, const JournalEntry& entry, bool durable);
  // Durable.
  absl::Status RecordHold(const std::string& id, Time time, bool held);
  // No such message is OK. A power cut may bring it back, until SyncRemovals.
  absl::Status Remove(const std::string& id);
  // What was removed before stays away. Shares its sync with messages that are committed.
  absl::Status SyncRemovals();
  // The same, and it cannot come back.
  absl::Status Withdraw(const std::string& id);
  // Moves it to dead/, where the newest kMostDead of such are kept.
  absl::Status Bury(const std::string& id);
  // Likewise what is spoilt; all of it is kept.
  absl::Status BuryTorn(const std::string& id);

  absl::StatusOr<std::unique_ptr<ContentReader>> OpenContent(const StoredMessage& message) const;

 private:
  Spool(std::string directory, FileDescriptor lock);
  // The file of a message that was accepted.
  absl::StatusOr<OpenFile> OpenActive(const std::string& id, int flags) const;
  bool IsEmpty(const std::string& id) const;
  absl::Status MoveToDead(const std::string& id, const std::string& name);
  absl::Status ForgetOldDead(const std::string& newest);
  absl::Status AppendLine(const std::string& id, std::string_view line, bool durable);
  // Of this process, from the moment before it has its name.
  void NoteCommitted(const std::string& id);
  bool IsCommittedSince(const std::string& id) const;
  void EndScan();
  std::string Incoming(const std::string& id) const { return directory_ + "/incoming/" + id; }
  std::string Active(const std::string& id) const { return directory_ + "/active/" + id; }
  std::string Dead(const std::string& id) const { return directory_ + "/dead/" + id; }

  friend class SpoolWriter;
  friend class SpoolScan;
  const std::string directory_;
  const FileDescriptor lock_;
  SharedSync active_sync_;
  mutable SpareFiles spares_;
  mutable std::mutex mutex_;
  bool scanning_ = false;
  std::unordered_set<std::string> committed_;  // since the scan began; empty when there is none
  std::mutex dead_mutex_;
  std::optional<std::set<std::string>> dead_;  // ids of them; nothing: not read yet
};

}  // namespace prov::queue
