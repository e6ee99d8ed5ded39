// The host's copy of its views, as engines and drivers read it: LMDB, memory-mapped, without locks.
//
// Every look-up is a short read transaction of its own and copies what it found; records are those of the
// agent sync contract. Keys are compared octet by octet: fold addresses first (common/mail_address.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::state {

// How well the copy stands for the truth.
struct Freshness {
  uint64_t received_revision = 0;                   // the copy is durable up to here; 0: never had a snapshot
  uint64_t applied_revision = 0;                    // effects are durable up to here
  uint64_t head_revision = 0;                       // newest write that provd told of
  std::chrono::system_clock::time_point confirmed;  // when provd was last heard
};

// Thread-safe. Errors: NOT_FOUND when the copy has no such record; UNAVAILABLE when it cannot be read
// (absent, or being rebuilt): defer, never refuse for good.
class StateReader {
 public:
  // `directory` must have been made by a StateWriter, in this process or another.
  static absl::StatusOr<std::unique_ptr<StateReader>> Open(const std::string& directory);
  virtual ~StateReader() = default;

  // Role relay, store or list.
  virtual absl::StatusOr<v1::HostedDomain> FindDomain(v1::Role role, std::string_view domain) = 0;
  // Role relay.
  virtual absl::StatusOr<v1::MailRoute> FindMailRoute(std::string_view address) = 0;
  // Role store.
  virtual absl::StatusOr<v1::Mailbox> FindMailboxByAddress(std::string_view address) = 0;
  virtual absl::StatusOr<v1::Mailbox> FindMailboxByLogin(std::string_view login) = 0;
  // Role pop-proxy.
  virtual absl::StatusOr<v1::LoginRoute> FindLoginRoute(std::string_view login) = 0;
  // Role store: mailboxes that move to or from the host's pool, by key ("moves/17"), in the order of keys: at
  // most so many after the key `after`, which may be empty.
  virtual absl::StatusOr<std::map<std::string, v1::MailboxTransit>> MailboxTransits(std::string_view after,
                                                                                    size_t most) = 0;
  virtual absl::StatusOr<v1::MailboxTransit> FindMailboxTransit(const std::string& key) = 0;
  // Role relay, pop-proxy, list or store: where another pool's hosts listen.
  virtual absl::StatusOr<v1::PoolMembers> FindPool(v1::Role role, std::string_view pool) = 0;

  // Role relay or pop-proxy: false when the host is drained and another of its pool is not. True when that
  // cannot be told.
  virtual bool TakesNewSessions(v1::Role role, std::string_view host) = 0;

  virtual absl::StatusOr<Freshness> GetFreshness(v1::Role role) = 0;

  // Whether "not found" may be said for good: everything provd told of was received, and provd was heard
  // within `patience`. Otherwise what is unknown is deferred (I5).
  bool IsCurrent(v1::Role role, std::chrono::system_clock::time_point now,
                 std::chrono::seconds patience = std::chrono::seconds(60));
};

}  // namespace prov::state
