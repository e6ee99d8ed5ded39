#include "agents/mail/smtp/remaining_recipients.h"

#include <string>
#include <utility>

namespace prov::smtp {

RemainingRecipients::RemainingRecipients(const queue::DeliveryRequest& all) : request_(all) {
  for (size_t i = 0; i < all.addresses.size(); ++i) places_.push_back(i);
}

void RemainingRecipients::Take(std::vector<queue::Outcome> some) {
  if (outcomes_.empty()) outcomes_.resize(places_.size());
  std::vector<size_t> places, recipients;
  std::vector<std::string> addresses;
  for (size_t i = 0; i < some.size(); ++i) {
    if (some[i].state == queue::State::kPending) {
      places.push_back(places_[i]);
      addresses.push_back(request_.addresses[i]);
      recipients.push_back(request_.recipients[i]);
    }
    outcomes_[places_[i]] = std::move(some[i]);
  }
  places_ = std::move(places);
  request_.addresses = std::move(addresses);
  request_.recipients = std::move(recipients);
}

}  // namespace prov::smtp
