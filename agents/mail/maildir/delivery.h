// One message into a Maildir, durable when Commit returns OK.
//
// tmp/ with O_EXCL, fsync, checked close, rename into new/, fsync of new/. File names carry seconds,
// microseconds, process, a counter and the host, and `,S=octets,W=crlf-octets`, so that POP3 sizes need no
// reading.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::maildir {

struct DeliveryOptions {
  std::string host;  // goes into the file name
  // When not empty, the file's unique part instead ("seconds.unique", [A-Za-z0-9.]{1,80}): the same message
  // delivered again under the same name, while the first lies in new/, is one message. So a sender that lost
  // our answer may repeat itself.
  std::string name;
  int64_t quota_octets = 0;  // how much the mailbox may hold (quota.h); 0: as much as there is room for
};

// Not thread-safe; blocks on the disk, so run it off the event loop. Destroyed without Commit, it leaves
// nothing.
class Delivery {
 public:
  // Makes the mailbox if it is not there (a mail may be quicker than the driver).
  static absl::StatusOr<std::unique_ptr<Delivery>> Begin(std::string_view root, std::string_view mailbox_id,
                                                         DeliveryOptions options);
  virtual ~Delivery() = default;

  // Message text with CRLF line ends, in pieces of any size; stored with LF. A CR or LF by itself is the
  // caller's mistake and is INVALID_ARGUMENT at Commit: the protocol machine has refused it before.
  virtual absl::Status Append(std::string_view crlf_text) = 0;

  // After the last Append: whether Commit will find that this is a repetition, and its first lies in new/.
  virtual bool IsRepetition() const = 0;

  // Returns the final file's name without directory. UNAVAILABLE or RESOURCE_EXHAUSTED (disk full): defer.
  // OUT_OF_RANGE: the message would exceed the mailbox's quota.
  virtual absl::StatusOr<std::string> Commit() = 0;
};

}  // namespace prov::maildir
