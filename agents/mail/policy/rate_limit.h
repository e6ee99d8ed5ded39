// How much may come from each of many in an hour. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace prov::policy {

// A bucket for each key, which holds an hour's worth and fills evenly. Not thread-safe.
class RateLimit {
 public:
  // 0: no limit. Of more than `most_keys`, the one that was not heard of for the longest is forgotten.
  explicit RateLimit(uint32_t per_hour, size_t most_keys = 100'000);

  // Whether so much could be taken now.
  bool Has(const std::string& key, uint32_t amount, std::chrono::steady_clock::time_point now);
  // False, and nothing is taken: it would be too much now.
  bool Take(const std::string& key, uint32_t amount, std::chrono::steady_clock::time_point now);

  size_t keys() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    double left;
    std::chrono::steady_clock::time_point when;
  };
  Entry& Fill(const std::string& key, std::chrono::steady_clock::time_point now);
  using Entries = std::list<Entry>;  // the one heard of last is last

  const uint32_t per_hour_;
  const size_t most_keys_;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> by_key_;  // views into entries_
};

}  // namespace prov::policy
