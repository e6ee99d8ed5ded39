// Many subscribers in one write, by a handful of statements whatever their number.
//
// All within a write, on the queue's thread: what was read cannot change before the write's end, for writes
// are one after the other.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/fleet.h"
#include "server/model/subscriber.h"
#include "server/store/write_queue.h"

namespace prov::store {

class SubscriberImport {
 public:
  // Those of the logins whose subscriber is not purged, by login.
  static absl::StatusOr<std::map<std::string, model::Subscriber>> FindByLogin(
      WriteTransaction& write, const std::vector<std::string>& logins);
  // Whose each address is: a subscriber's id, or 0 for a list's and for one that is reserved. An address that
  // is free is absent.
  static absl::StatusOr<std::map<std::string, int64_t>> AddressOwners(
      WriteTransaction& write, const std::vector<std::string>& addresses);
  // Those of the domains that are hosted, each with what it does with mail for the suspended.
  static absl::StatusOr<std::map<std::string, model::SuspendedMail>> HostedDomains(
      WriteTransaction& write, const std::vector<std::string>& domains);
  static absl::StatusOr<std::vector<model::Pool>> StorePools(WriteTransaction& write);

  // Writes them with their addresses, state included, and fills in what the database gives. Logins and
  // addresses must be free, domains and pools there: the statements fail as a whole.
  static absl::Status Insert(WriteTransaction& write, const std::vector<model::Subscriber*>& subscribers);

  struct Edit {
    model::Subscriber* subscriber = nullptr;  // gets this write's revision
    std::vector<std::string> added, removed;  // addresses
  };
  // Writes every field that may change, and the addresses.
  static absl::Status Save(WriteTransaction& write, const std::vector<Edit>& edits);
};

}  // namespace prov::store
