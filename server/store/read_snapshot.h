// One consistent view of the truth: a REPEATABLE READ, READ ONLY transaction.
//
// Publisher and feed read the change log and the aggregates in one snapshot, so that what they take for "all
// changes up to N" is exactly that (I2).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/mailbox_move.h"
#include "server/model/mailing_list.h"
#include "server/model/subscriber.h"

namespace prov::store {

enum class AggregateKind { kSubscriber, kDomain, kPool, kHost, kMailingList, kMember, kMailboxMove };

// That an aggregate changed. Read it for its state; a change may be older than the state read.
struct Change {
  uint64_t revision = 0;
  AggregateKind kind = AggregateKind::kSubscriber;
  // Subscriber id in decimal, domain name, pool id, host id, list address, model::MemberKey, move id in
  // decimal.
  std::string key;
  bool removed = false;  // the aggregate is gone (domains, pools, hosts); subscribers stay as rows
  model::Time time;
};

// Not thread-safe. Holds one database connection until destroyed: keep it short, or page through it at once.
// Errors: UNAVAILABLE when the database is away.
class ReadSnapshot {
 public:
  virtual ~ReadSnapshot() = default;

  // Revision of the newest write that this snapshot sees; 0 in an empty database.
  virtual uint64_t head_revision() const = 0;
  // The change log reaches back to changes after this revision; a reader that stands lower takes a snapshot.
  virtual uint64_t compacted_revision() const = 0;

  // In order of revision, at most `limit`.
  virtual absl::StatusOr<std::vector<Change>> ChangesAfter(uint64_t revision, size_t limit) = 0;

  // Those that exist, in no order; closed and purged ones too. Domains likewise.
  virtual absl::StatusOr<std::vector<model::Subscriber>> SubscribersById(const std::vector<int64_t>& ids) = 0;
  virtual absl::StatusOr<std::vector<model::Domain>> DomainsByName(const std::vector<std::string>& names) = 0;

  // Pages through everything by key; `after` is the last key of the page before, 0 or "" at first.
  // Purged subscribers are left out.
  virtual absl::StatusOr<std::vector<model::Subscriber>> SubscribersAfter(int64_t after, size_t limit) = 0;
  virtual absl::StatusOr<std::vector<model::Domain>> DomainsAfter(const std::string& after, size_t limit) = 0;

  // Mailing lists by address; members by model::MemberKey, and in pages by list and address, `pool`'s alone.
  virtual absl::StatusOr<std::vector<model::MailingList>> MailingListsByAddress(
      const std::vector<std::string>& addresses) = 0;
  virtual absl::StatusOr<std::vector<model::MailingList>> MailingListsAfter(const std::string& after,
                                                                            size_t limit) = 0;
  virtual absl::StatusOr<std::vector<model::Member>> MembersByKey(const std::vector<std::string>& keys) = 0;
  virtual absl::StatusOr<std::vector<model::Member>> MembersAfter(const std::string& pool,
                                                                  const std::string& list,
                                                                  const std::string& address,
                                                                  size_t limit) = 0;

  // Mailbox moves, those at their end too; and in pages by id, those that are open.
  virtual absl::StatusOr<std::vector<model::MailboxMove>> MailboxMovesById(
      const std::vector<int64_t>& ids) = 0;
  virtual absl::StatusOr<std::vector<model::MailboxMove>> OpenMailboxMovesAfter(int64_t after,
                                                                                size_t limit) = 0;

  // The fleet is small: all of it.
  virtual absl::StatusOr<std::vector<model::Pool>> Pools() = 0;
  virtual absl::StatusOr<std::vector<model::Host>> Hosts() = 0;

  // For progress only; an estimate, never a scan.
  virtual absl::StatusOr<uint64_t> EstimatedSubscribers() = 0;
};

// Thread-safe.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  virtual absl::StatusOr<std::unique_ptr<ReadSnapshot>> OpenSnapshot() = 0;
};

}  // namespace prov::store
