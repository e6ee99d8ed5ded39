#include "agents/mail/auth/failure_delay.h"

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>

namespace prov::auth {
namespace {

constexpr size_t kSiteOctets = 6;  // a /48
constexpr size_t kMappedPrefixOctets = 12;

}  // namespace

std::string NetworkOf(std::string_view address) {
  const std::string text(address);
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return text;
  const char* octets = reinterpret_cast<const char*>(v6.s6_addr);
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    char v4[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, octets + kMappedPrefixOctets, v4, sizeof v4) == nullptr ? text
                                                                                      : std::string(v4);
  }
  return std::string(octets, kSiteOctets);
}

FailureDelay::FailureDelay(const Clock& clock, size_t max_networks)
    : clock_(clock), max_networks_(std::max<size_t>(max_networks, 1)) {}

std::chrono::milliseconds FailureDelay::AfterFailure(std::string_view address) {
  std::string network = NetworkOf(address);
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
