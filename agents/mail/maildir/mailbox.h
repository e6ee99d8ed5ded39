// A Maildir opened by one reader: what is in it, in order of arrival, and each message as a stream.
//
// Reads new/ and cur/, and renames nothing unless mail expires. Tolerates what other programs do meanwhile:
// files that move or vanish, foreign names, directories.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/message_text.h"

namespace prov::maildir {

// More than these wait for a later session, when the older ones are gone.
constexpr size_t kMaxMessages = 100'000;

struct Message {
  uint64_t octets = 0;    // with CRLF line ends
  std::string_view uidl;  // lives as long as the mailbox
};

// Not thread-safe; blocks on the disk, so run it off the event loop.
class Mailbox {
 public:
  // Makes the mailbox if it is not there (a login may be quicker than the driver), and locks it against other
  // readers, on this host and, where the file system can, on others: ABORTED when another one has it. The
  // lock ends with the object or the process. UNAUTHENTICATED when it was opened with a `login_delay` less
  // than that ago, on whatever host.
  static absl::StatusOr<std::unique_ptr<Mailbox>> Open(
      std::string_view root, std::string_view mailbox_id,
      std::chrono::seconds login_delay = std::chrono::seconds(0));
  virtual ~Mailbox() = default;

  // As of Open; what arrives later is not seen.
  virtual const std::vector<Message>& messages() const = 0;

  // NOT_FOUND when it is gone. What is being read stays readable when it is removed.
  virtual absl::StatusOr<std::unique_ptr<MessageReader>> OpenMessage(size_t index) = 0;

  // Removes all that it can, durably, and answers the first error. One that is gone already is removed.
  // Nothing more is removed once another reader has the mailbox (ABORTED) or it has gone elsewhere
  // (UNAVAILABLE): that happens to a host that was cut off from its storage.
  virtual absl::Status Remove(const std::vector<size_t>& indices) = 0;

  // Removes what was seen before Open already, at least `age` ago, and marks `fetched` as seen (Maildir's
  // flag S). Age is counted from the last change of the file's inode: by the mark, or by whoever brought it
  // here. Messages that were removed may be among `fetched`. Answers how many it removed.
  virtual absl::StatusOr<size_t> Expire(const std::vector<size_t>& fetched, std::chrono::seconds age) = 0;
};

}  // namespace prov::maildir
