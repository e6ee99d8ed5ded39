// Who is left of a delivery after some hosts took part: what one puts off, another may take (RFC 5321
// section 5.1). Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "agents/mail/queue/transport.h"

namespace prov::smtp {

class RemainingRecipients {
 public:
  // What `all` refers to must outlive this.
  explicit RemainingRecipients(const queue::DeliveryRequest& all);

  // For those that are left.
  const queue::DeliveryRequest& request() const { return request_; }
  bool done() const { return places_.empty(); }

  // One outcome for each address of request(), which then has those only that were put off.
  void Take(std::vector<queue::Outcome> some);

  // Of all, each from the last host that took part; empty when none did.
  const std::vector<queue::Outcome>& outcomes() const { return outcomes_; }

 private:
  queue::DeliveryRequest request_;
  std::vector<size_t> places_;  // of its addresses among all
  std::vector<queue::Outcome> outcomes_;
};

}  // namespace prov::smtp
