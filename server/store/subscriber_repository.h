// Subscribers and their addresses.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/subscriber.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

// Which subscribers to list; what is empty does not restrict.
struct SubscriberQuery {
  std::optional<model::State> state;
  std::string domain;
  std::string login;  // exactly
  std::string login_prefix;
  std::string web_name;                       // of its web space
  std::map<std::string, std::string> labels;  // all of them
  bool show_deleted = false;                  // closed ones too; purged ones only when `state` asks for them
  int64_t after_id = 0;
  size_t limit = 100;
};

// Thread-safe.
class SubscriberRepository {
 public:
  explicit SubscriberRepository(ConnectionPool& pool) : pool_(pool) {}

  // `id_or_login`: "1042" or a normalised login; purged ones are found by id only. NOT_FOUND on field `name`.
  absl::StatusOr<model::Subscriber> Get(const std::string& id_or_login);
  // Whose address it is, of the living; normalised. NOT_FOUND on field `name`.
  absl::StatusOr<model::Subscriber> GetByAddress(const std::string& address);
  // By id, at most `limit`.
  absl::StatusOr<std::vector<model::Subscriber>> List(const SubscriberQuery& query);

  // Closed ones whose time is over by the database's clock, the oldest first; none while `caller`, who would
  // purge them, awaits an operator's word.
  absl::StatusOr<std::vector<int64_t>> Expired(const std::string& caller, size_t limit);

  // Within a write. The row cannot change before its end, for writes are one after the other.
  static absl::StatusOr<model::Subscriber> Find(WriteTransaction& write, const std::string& id_or_login);
  // Needs login, names, entitlements, forward, password_hash, store_pool; fills in what the database gives.
  // The login becomes the first address. ALREADY_EXISTS on subscriber.login when it is taken or reserved.
  static absl::StatusOr<model::Subscriber> Insert(WriteTransaction& write, model::Subscriber subscriber);
  // Writes every field that may change, with this write's revision, and records the change.
  static absl::StatusOr<model::Subscriber> Save(WriteTransaction& write, model::Subscriber subscriber);
  // ALREADY_EXISTS, NOT_FOUND on field `address`. Save after it.
  static absl::Status AddAddress(WriteTransaction& write, const model::Subscriber& subscriber,
                                 const std::string& address, const std::string& domain);
  static absl::Status RemoveAddress(WriteTransaction& write, const model::Subscriber& subscriber,
                                    const std::string& address);
  // Takes all addresses away; nobody may have them for `days`.
  static absl::Status ReserveAddresses(WriteTransaction& write, const model::Subscriber& subscriber,
                                       int days);

  struct Placement {
    bool domain_hosted = false;
    std::string alias_of;  // of the domain
    std::vector<model::Pool> store_pools;
  };
  // What decides where a mailbox of that domain may go.
  static Placement PlacementOf(WriteTransaction& write, const std::string& domain);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
