#include "common/ldap/dn.h"

#include <fmt/format.h>
#include <ldap.h>
#include <strings.h>

namespace prov::ldap {
namespace {

constexpr std::string_view kSpecial = "\"+,;<=>\\#";

std::string EscapeValue(std::string_view value) {
  std::string escaped;
  escaped.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(value[i]);
    const bool edge_space = c == ' ' && (i == 0 || i + 1 == value.size());
    if (c > 0x1F && c < 0x7F && !edge_space &&
        kSpecial.find(static_cast<char>(c)) == std::string_view::npos) {
      escaped.push_back(static_cast<char>(c));
    } else {
      escaped += fmt::format("\\{:02X}", c);
    }
  }
  return escaped;
}

bool SameIgnoringCase(std::string_view one, std::string_view other) {
  return one.size() == other.size() && strncasecmp(one.data(), other.data(), one.size()) == 0;
}

std::string_view View(const berval& value) { return std::string_view(value.bv_val, value.bv_len); }

// Its levels, from the left. Of no levels when it is not well formed, or when one has several attributes or
// is written as octets ("#04…"), which no name of ours is.
class ParsedDn {
 public:
  explicit ParsedDn(const std::string& text) {
    if (text.empty() || text.find('\0') != std::string::npos) return;
    if (ldap_str2dn(text.c_str(), &dn_, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS || dn_ == nullptr) return;
    for (; dn_[size_] != nullptr; ++size_) {
      const LDAPAVA* const* level = dn_[size_];
      if (level[0] != nullptr && level[1] == nullptr && (level[0]->la_flags & LDAP_AVA_BINARY) == 0) continue;
      size_ = 0;
      return;
    }
  }
  ~ParsedDn() {
    if (dn_ != nullptr) ldap_dnfree(dn_);
  }
  ParsedDn(const ParsedDn&) = delete;
  ParsedDn& operator=(const ParsedDn&) = delete;

  size_t size() const { return size_; }
  bool Same(size_t level, const ParsedDn& other, size_t its_level) const {
    const LDAPAVA& ours = *dn_[level][0];
    const LDAPAVA& theirs = *other.dn_[its_level][0];
    return SameIgnoringCase(View(ours.la_attr), View(theirs.la_attr)) &&
           SameIgnoringCase(View(ours.la_value), View(theirs.la_value));
  }
  std::optional<std::string> Value(size_t level, std::string_view attribute) const {
    const LDAPAVA& ava = *dn_[level][0];
    if (!SameIgnoringCase(View(ava.la_attr), attribute)) return std::nullopt;
    return std::string(View(ava.la_value));
  }

 private:
  LDAPDN dn_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

std::string ChildDn(std::string_view attribute, std::string_view value, std::string_view parent) {
  return fmt::format("{}={},{}", attribute, EscapeValue(value), parent);
}

std::optional<std::string> ChildValue(std::string_view attribute, const std::string& dn,
                                      const std::string& parent) {
  const ParsedDn child(dn), above(parent);
  const size_t levels = above.size();
  if (child.size() != levels + 1 || levels == 0) return std::nullopt;
  for (size_t i = 0; i < levels; ++i) {
    if (!child.Same(i + 1, above, i)) return std::nullopt;
  }
  return child.Value(0, attribute);
}

bool IsDn(const std::string& dn) {
  if (dn.empty() || dn.find('\0') != std::string::npos) return false;
  LDAPDN parsed = nullptr;
  const bool good = ldap_str2dn(dn.c_str(), &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
  if (parsed != nullptr) ldap_dnfree(parsed);
  return good;
}

}  // namespace prov::ldap
