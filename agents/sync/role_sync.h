// Keeps one role of this host following provd: the stream, and the drivers beside it.
//
// Two threads: one reads the stream and makes each message durable, one runs the drivers. provd's addresses
// are tried in turn with jittered back-off. With provd away the drivers go on with what is pending (I5).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"
#include "agents/state/writer.h"
#include "agents/sync/applier.h"
#include "agents/sync/backoff.h"
#include "agents/sync/inspection.h"
#include "agents/sync/session.h"
#include "common/clock.h"
#include "common/grpc_tls.h"

namespace prov::sync {

struct RoleSyncOptions {
  SessionOptions session;
  std::vector<std::string> provd;  // host:port
  TlsFiles tls;
  // Tells this agent from another one with the same certificate, and stays the same when it is started again.
  std::string instance;
  Backoff reconnect;
  ApplierOptions applier;
  // A stream on which nothing came for so long, or for three heartbeats if that is longer, is ended.
  std::chrono::milliseconds longest_silence = std::chrono::seconds(20);
  // How long a stream stays open while an operator's word is awaited, before it is begun anew.
  std::chrono::milliseconds hold = std::chrono::minutes(1);
  InspectionOptions inspection;
  std::chrono::milliseconds inspect_every = std::chrono::hours(1);
  // Whether drift that is found by schedule is mended, if it is not much.
  bool repair = true;
  // Called once, from one of the threads, when the state can no longer be written: the process must end.
  std::function<void(const absl::Status&)> on_fatal;
};

// How it stands with provd.
struct ProvdStanding {
  bool connected = false;
  bool told = false;    // since the start: what the newest write is, and so what is missing here
  bool failed = false;  // an attempt to reach it, since the start
  std::string error;    // of the last attempt that failed
};

class RoleSync {
 public:
  // Starts both threads. All references must outlive it. Errors: unreadable TLS files.
  static absl::StatusOr<std::unique_ptr<RoleSync>> Start(RoleSyncOptions options,
                                                         std::vector<drivers::Driver*> drivers,
                                                         state::StateWriter& state, const Clock& clock);
  // Ends the stream and both threads; waits for the drivers' current slice.
  virtual ~RoleSync() = default;

  // Ends a stream that has gone silent. To be called about once a second, from any thread.
  virtual void CheckSilence() = 0;
  // Begins the stream anew with the certificate that the files hold now. From any thread.
  virtual void Reconnect() = 0;
  // Tells provd of the engine. From any thread.
  virtual void SetServing(std::optional<uint64_t> sessions, bool ready) = 0;
  virtual bool connected() const = 0;
  virtual ProvdStanding standing() const = 0;
  // How many items the drivers have done since the start.
  virtual uint64_t applied_items() const = 0;
  // What the last inspection found and did not mend.
  virtual uint64_t drifting() const = 0;
};

}  // namespace prov::sync
