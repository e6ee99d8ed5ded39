#include "agents/mail/auth/credential_cache.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <iterator>

#include "agents/mail/auth/secret.h"
#include "common/random.h"

namespace prov::auth {
namespace {

constexpr size_t kKeyOctets = 32;

// Lengths go in front: ("a", "bc") and ("ab", "c") must not be the same text.
void AppendField(std::string& text, std::string_view field) {
  const uint64_t size = field.size();
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text += field;
}

}  // namespace

CredentialCache::CredentialCache(const Clock& clock, Options options)
    : clock_(clock), options_(options), key_(RandomOctets(kKeyOctets)) {}

std::string CredentialCache::NameOf(std::string_view service, std::string_view login,
                                    std::string_view password) const {
  std::string text;
  text.reserve(service.size() + login.size() + password.size() + 3 * sizeof(uint64_t));
  AppendField(text, service);
  AppendField(text, login);
  AppendField(text, password);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int octets = 0;
  // Fails only without memory or without SHA-256; a name that others share would be a wrong login.
  if (HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &octets) == nullptr) {
    std::abort();
  }
  Wipe(text);
  return std::string(reinterpret_cast<const char*>(digest), octets);
}

bool CredentialCache::Contains(std::string_view service, std::string_view login, std::string_view password,
                               uint64_t version) {
  const std::string name = NameOf(service, login, password);
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return false;
  const Entries::iterator entry = found->second;
  if (entry->version != version || entry->expires <= clock_.Monotonic()) {
    Forget(entry);
    return false;
  }
  entries_.splice(entries_.end(), entries_, entry);
  return true;
}

void CredentialCache::Add(std::string_view service, std::string_view login, std::string_view password,
                          uint64_t version) {
  std::string name = NameOf(service, login, password);
  const std::lock_guard lock(mutex_);
  if (const auto found = by_name_.find(name); found != by_name_.end()) Forget(found->second);
  if (!entries_.empty() && entries_.size() >= options_.max_entries) Forget(entries_.begin());
  entries_.push_back({std::move(name), version, clock_.Monotonic() + options_.lifetime});
  by_name_.emplace(entries_.back().name, std::prev(entries_.end()));
}

size_t CredentialCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void CredentialCache::Forget(Entries::iterator entry) {
  by_name_.erase(entry->name);
  entries_.erase(entry);
}

}  // namespace prov::auth
