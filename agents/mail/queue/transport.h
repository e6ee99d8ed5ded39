// What carries a queued message to its next hop; SMTP and LMTP clients implement it.
#pragma once

#include <asio/awaitable.hpp>
#include <string>
#include <vector>

#include "agents/mail/queue/message_format.h"
#include "agents/mail/queue/spool.h"
#include "agents/mail/route/next_hop.h"

namespace prov::queue {

struct DeliveryRequest {
  const StoredMessage* message = nullptr;
  const Spool* spool = nullptr;  // has its content
  route::NextHop hop;
  std::vector<std::string> addresses;  // whom to name at the next hop
  std::vector<size_t> recipients;      // of the message, one for each address
};

struct Outcome {
  State state = State::kPending;  // kPending: come again later
  std::string reply;              // "250 2.0.0 ok"
  bool unreachable = false;       // no endpoint spoke to us: others need not try now
  // When delivered: into a mailbox; otherwise another host is to deliver it, and may have taken over to tell
  // the sender what he asked for (RFC 3461 section 5.2).
  bool final = false, told_by_next_hop = false;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // One outcome for each address, in order. `request` outlives the call.
  virtual asio::awaitable<std::vector<Outcome>> Deliver(const DeliveryRequest& request) = 0;
  // Nothing is kept ready for later deliveries any more.
  virtual void Stop() {}
};

}  // namespace prov::queue
