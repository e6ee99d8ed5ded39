// Credentials that PAM has accepted, so that logins go on while the directory is away.
//
// Holds no password: entries are named by an HMAC-SHA256 with a key that this process alone knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/clock.h"

namespace prov::auth {

// Thread-safe.
class CredentialCache {
 public:
  struct Options {
    size_t max_entries = 100'000;
    std::chrono::seconds lifetime = std::chrono::hours(1);
  };
  explicit CredentialCache(const Clock& clock) : CredentialCache(clock, Options()) {}
  CredentialCache(const Clock& clock, Options options);

  // `version` is the mailbox's credential version now. An entry of another version is forgotten.
  bool Contains(std::string_view service, std::string_view login, std::string_view password,
                uint64_t version);
  void Add(std::string_view service, std::string_view login, std::string_view password, uint64_t version);

  size_t size() const;

 private:
  struct Entry {
    std::string name;
    uint64_t version;
    std::chrono::steady_clock::time_point expires;
  };
  using Entries = std::list<Entry>;  // least lately used first

  std::string NameOf(std::string_view service, std::string_view login, std::string_view password) const;
  void Forget(Entries::iterator entry);

  const Clock& clock_;
  const Options options_;
  const std::string key_;
  mutable std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> by_name_;  // views into entries_
};

}  // namespace prov::auth
