// Brings one mailbox from its old pool to this one: as far as it goes just now (docs/decisions/0013).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "agents/drivers/file_owner.h"
#include "agents/moves/transfer_source.h"
#include "prov/v1/agent_sync.pb.h"
#include "prov/v1/mailbox_moves.pb.h"

namespace prov::moves {

struct ArrivalParts {
  std::string root;  // of the maildirs
  // Of the maildirs. What goes over the network is done as ourselves: threads that gRPC makes inherit the
  // user.
  std::optional<drivers::FileOwner> owner;
  TransferSource* source = nullptr;
  // Tells provd; octets of what is here, and of all.
  std::function<absl::Status(v1::ReportMailboxMoveRequest::Step step, uint64_t copied, uint64_t total)>
      report;
};

// With `switching` unset, copies until little is left to copy, and reports COPIED. With it, takes the rest
// and reports ARRIVED. To be called again until the move has left the view: whatever fails, or whoever is
// killed, it goes on from there. ABORTED: another host of the pool is at it, or somebody still reads the
// mailbox.
absl::Status BringMailbox(const v1::MailboxTransit& transit, const ArrivalParts& parts);

}  // namespace prov::moves
