// Keeps the LDAP directory equal to the truth: change log in, entries out, the cursor in the same
// transaction.
//
// The directory itself says how far it has come (cn=cursor,ou=system,BASE), so that it may be killed,
// restored or thrown away at any moment, and provd too (I1, I3). One record that the directory refuses is
// set aside and tried again later; all others go on (I4).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/directory/services.h"
#include "server/store/host_progress.h"
#include "server/store/publisher_turn.h"
#include "server/store/read_snapshot.h"
#include "server/store/revision_watch.h"

namespace prov::directory {

// Thread-safe. Runs one thread between Start and Stop.
class Publisher {
 public:
  struct Options {
    std::string uri;   // ldapi://, ldaps://, or ldap:// with starttls
    std::string base;  // "o=prov"
    std::string bind_dn;
    std::string password;  // held in memory only
    std::string ca;        // PEM file; empty: the system's
    bool starttls = false;
    Services services;
    std::string home_prefix = "/srv/prov/homes";  // homeDirectory is HOME_PREFIX/xx/yy/UID, as on hosts
    std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
    std::chrono::milliseconds operation_timeout = std::chrono::seconds(30);
    std::chrono::milliseconds shortest_backoff = std::chrono::milliseconds(50);
    std::chrono::milliseconds longest_backoff = std::chrono::seconds(5);
    // How long a refused record rests before it is tried again; grows to `longest_retry`.
    std::chrono::milliseconds shortest_retry = std::chrono::seconds(2);
    std::chrono::milliseconds longest_retry = std::chrono::minutes(5);
    // How long another provd may have the turn and make no progress.
    std::chrono::milliseconds stand_by_patience = std::chrono::seconds(5);
    size_t batch_entries = 500;  // entries of one LDAP transaction
    // A full pass that would remove more entries, and more than a tenth of all, stops and says so.
    size_t most_removals = 100;
    // Changes that would remove more entries before the directory is current again, and more than a tenth of
    // all, stop and say so, too. Greater, for each of them was asked for.
    size_t most_changed_removals = 1000;
    // How many removals an operator has approved, now; asked before stopping. Empty: none.
    std::function<uint64_t()> approved_removals;
    bool use_transactions = true;  // false: as with a server that has none (RFC 5805)
  };

  struct Status {
    uint64_t applied_revision = 0;  // durable in the directory, but for the failing items
    bool connected = false;
    std::string cause;  // why nothing moves; empty when all is well
    uint64_t failing_items = 0;
    std::vector<store::FailingItem> failing;  // at most 100
    std::chrono::system_clock::time_point last_progress{};
  };

  // `source`, `watch` and `turn` must outlive the publisher. Of several provd the one whose turn it is
  // publishes; the others look how far the directory is, and step in when it has not moved for a while
  // although it should. Two at once do no harm: each moves the cursor from where it saw it, and the slower
  // one begins anew.
  Publisher(store::SnapshotSource& source, store::RevisionWatch& watch, store::PublisherTurn& turn,
            Options options);
  ~Publisher();  // stops
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // INVALID_ARGUMENT if the options cannot work. A directory that is away is no error: it is tried again.
  absl::Status Start();
  // Returns when the thread has ended: at once when idle, else after the transaction in progress. Harmless
  // if it does not run.
  void Stop();

  Status GetStatus() const;

  // Blocks until `revision` is applied, `timeout` has passed or Stop. Returns what is applied.
  uint64_t WaitApplied(uint64_t revision, std::chrono::milliseconds timeout) const;

  // Has all entries compared with the truth, and mended, as soon as the directory can be reached. Returns the
  // pass's number; one that has begun already does not count.
  uint64_t RequestPass();
  // Blocks until that pass has ended, `timeout` has passed or Stop. False: it has not ended.
  // FAILED_PRECONDITION: it was given up, and somebody has to decide, as about too many removals.
  absl::StatusOr<bool> WaitPass(uint64_t pass, std::chrono::milliseconds timeout) const;

  // Calls `listener` with each change of the status, from the publisher's thread; it must be quick. Returns
  // an id.
  uint64_t Subscribe(std::function<void(const Status&)> listener);
  // After it returns the listener is not running and not called again. Not from within a listener.
  void Unsubscribe(uint64_t id);

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace prov::directory
