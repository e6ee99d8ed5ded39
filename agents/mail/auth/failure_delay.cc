#include "agents/mail/auth/failure_delay.h"

#include <algorithm>
#include <iterator>

#include "agents/mail/net/network_prefix.h"

namespace prov::auth {
namespace {

// A site of IPv6: whoever has one address there has 2^80.
constexpr unsigned kNetworkBits4 = 32, kNetworkBits6 = 48;

}  // namespace

FailureDelay::FailureDelay(const Clock& clock, size_t max_networks)
    : clock_(clock), max_networks_(std::max<size_t>(max_networks, 1)) {}

std::chrono::milliseconds FailureDelay::AfterFailure(std::string_view address) {
  std::string network = net::NetworkPrefix(address, kNetworkBits4, kNetworkBits6);
  const auto now = clock_.Monotonic();
  const std::lock_guard lock(mutex_);
  const auto found = by_network_.find(network);
  if (found != by_network_.end()) {
    const Entries::iterator entry = found->second;
    const bool remembered = now - entry->last < kFailureMemory;
    entry->delay = remembered ? std::min(entry->delay * 2, kLongestFailureDelay) : kFirstFailureDelay;
    entry->last = now;
    entries_.splice(entries_.end(), entries_, entry);
    return entry->delay;
  }
  if (entries_.size() >= max_networks_) {
    by_network_.erase(entries_.front().network);
    entries_.pop_front();
  }
  entries_.push_back({std::move(network), kFirstFailureDelay, now});
  by_network_.emplace(entries_.back().network, std::prev(entries_.end()));
  return kFirstFailureDelay;
}

}  // namespace prov::auth
