// What agents report of themselves, and who is asked to wait for whom.
//
// Progress is not a fact of provisioning: it has no revision, and is lost without harm.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/fleet.h"

namespace prov::store {

struct FailingItem {
  std::string key;
  uint64_t revision = 0;
  std::string error;
  std::optional<std::chrono::seconds> retry_in;  // nothing: rejected
  uint64_t attempts = 0;
};

struct Drift {
  std::string key;
  std::string driver;
  std::string difference;
};

// Of all that one role's agent has made on its host; the API's Inspection says what the members mean.
struct Inspection {
  uint64_t number = 0;
  bool repair = false;
  model::Time begin;
  std::optional<model::Time> end;
  uint64_t inspected_records = 0;
  uint64_t all_records = 0;
  uint64_t drifting = 0;
  std::vector<Drift> drifts;  // at most 100
  uint64_t failed_records = 0;
  std::string error;
  bool held = false;
};

struct HostProgress {
  std::string host;
  model::Role role = model::Role::kRelay;
  bool connected = false;  // as read: and heard of lately, for the provd that wrote it down may be dead
  uint64_t received_revision = 0;
  uint64_t applied_revision = 0;
  uint64_t failing_items = 0;
  std::vector<FailingItem> failing;  // at most 100
  std::string agent_version;
  model::Time last_seen;
  std::optional<Inspection> inspection;  // recorded as nothing: what was there before stays
  std::optional<uint64_t> sessions;      // in progress; nothing: not known
  std::optional<bool> ready;             // nothing: not told
};

// After that nothing is believed of a connection any more.
constexpr std::chrono::seconds kLongestUnheard(20);

class ConnectionPool;
class WriteQueue;

// Thread-safe.
class HostProgressRepository {
 public:
  HostProgressRepository(ConnectionPool& pool, WriteQueue& writes) : pool_(pool), writes_(writes) {}

  // `last_seen` is the database's time.
  absl::Status Record(const HostProgress& progress);
  // They are still connected. To be said every few seconds, well within kLongestUnheard.
  absl::Status Touch(const std::vector<std::pair<std::string, model::Role>>& connected);
  absl::StatusOr<std::vector<HostProgress>> All();
  absl::StatusOr<std::vector<HostProgress>> ForHost(const std::string& host);

  // Where the host's engines listen, by service. Services not named keep theirs. A write, with a revision,
  // when that differs from before: other hosts' views carry it.
  absl::Status SetEndpoints(const std::string& host, const std::map<std::string, std::string>& endpoints);

 private:
  absl::StatusOr<std::vector<HostProgress>> Read(const std::string& host);

  ConnectionPool& pool_;
  WriteQueue& writes_;
};

}  // namespace prov::store
