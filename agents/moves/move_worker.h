// Does what this host has to do for mailboxes that move to its pool: a thread that looks at the moves in the
// host's copy of its view, and brings one mailbox after the other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/drivers/file_owner.h"
#include "agents/state/reader.h"
#include "common/clock.h"
#include "common/grpc_tls.h"

namespace prov::moves {

struct MoveWorkerOptions {
  std::string host;                // ours, as in the certificate
  std::vector<std::string> provd;  // host:port, tried in turn
  TlsFiles tls;
  std::string maildir_root;
  std::optional<drivers::FileOwner> owner;  // of the maildirs
};

class MoveWorker {
 public:
  // `state` and `clock` must outlive it.
  static std::unique_ptr<MoveWorker> Start(MoveWorkerOptions options, state::StateReader& state,
                                           const Clock& clock);
  // Ends after the message that is being fetched.
  virtual ~MoveWorker() = default;
  // A move has come, or has changed. From any thread.
  virtual void Wake() = 0;
};

}  // namespace prov::moves
