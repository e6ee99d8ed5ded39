#include "agents/mail/policy/rate_limit.h"

#include <algorithm>
#include <iterator>

namespace prov::policy {

RateLimit::RateLimit(uint32_t per_hour, size_t most_keys) : per_hour_(per_hour), most_keys_(most_keys) {}

RateLimit::Entry& RateLimit::Fill(const std::string& key, std::chrono::steady_clock::time_point now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    entries_.push_back({key, static_cast<double>(per_hour_), now});
    by_key_.emplace(entries_.back().key, std::prev(entries_.end()));
    if (entries_.size() > most_keys_) {
      by_key_.erase(entries_.front().key);
      entries_.pop_front();
    }
  } else {
    entries_.splice(entries_.end(), entries_, found->second);
  }
  Entry& entry = entries_.back();
  const double hours = std::chrono::duration<double, std::ratio<3600>>(now - entry.when).count();
  entry.left = std::min<double>(per_hour_, entry.left + std::max(hours, 0.0) * per_hour_);
  entry.when = now;
  return entry;
}

bool RateLimit::Has(const std::string& key, uint32_t amount, std::chrono::steady_clock::time_point now) {
  return per_hour_ == 0 || Fill(key, now).left >= amount;
}

bool RateLimit::Take(const std::string& key, uint32_t amount, std::chrono::steady_clock::time_point now) {
  if (!Has(key, amount, now)) return false;
  if (per_hour_ != 0) entries_.back().left -= amount;
  return true;
}

}  // namespace prov::policy
