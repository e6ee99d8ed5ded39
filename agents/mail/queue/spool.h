// The queue on disk: one file for each message (message_format.h), durable before it is acknowledged.
//
//   DIRECTORY/incoming   being written; emptied at start, for nothing in it was acknowledged
//   DIRECTORY/active     accepted: whole, synced, renamed to here, and the directory synced
//   DIRECTORY/dead       what can neither be delivered nor returned; kept for an operator
//   DIRECTORY/lock       held by the one engine that works here
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/shared_sync.h"
#include "common/file.h"

namespace prov::queue {

// Free space that is left to others: a queue that takes everything takes the journal's space, too.
constexpr uint64_t kReservedOctets = 16 << 20;

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

// Thread-safe; everything blocks on the disk, so run it off the event loop.
class Spool {
 public:
  // Makes the directories. UNAVAILABLE when another process works here.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(const std::string& directory);

  // A new id: unique, and in the order of time.
  static std::string NewId(Time now);

  // RESOURCE_EXHAUSTED when a message of that size would not fit.
  absl::Status CheckRoom(uint64_t octets) const;

  // `envelope` is complete; its id is new.
  absl::StatusOr<std::unique_ptr<MessageWriter>> Begin(Envelope envelope);

  // Every message that was acknowledged and is not finished. Files that are torn are moved to dead/; those
  // that cannot be read now stay for the next start. Both are told of in the log.
  absl::StatusOr<std::vector<StoredMessage>> Scan();

  bool Has(const std::string& id) const;
  // Appends to the journal; durable when `durable`.
  absl::Status Record(const std::string& id, const JournalEntry& entry, bool durable);
  // No such message is OK. A power cut may bring it back; its journal then says that it is done.
  absl::Status Remove(const std::string& id);
  // The same, and it cannot come back.
  absl::Status Withdraw(const std::string& id);
  // Moves it to dead/.
  absl::Status Bury(const std::string& id);

  absl::StatusOr<std::unique_ptr<ContentReader>> OpenContent(const StoredMessage& message) const;

 private:
  Spool(std::string directory, FileDescriptor lock);
  absl::StatusOr<StoredMessage> Load(const std::string& id) const;
  std::string Incoming(const std::string& id) const { return directory_ + "/incoming/" + id; }
  std::string Active(const std::string& id) const { return directory_ + "/active/" + id; }
  std::string Dead(const std::string& id) const { return directory_ + "/dead/" + id; }

  friend class SpoolWriter;
  const std::string directory_;
  const FileDescriptor lock_;
  SharedSync active_sync_;
};

}  // namespace prov::queue
