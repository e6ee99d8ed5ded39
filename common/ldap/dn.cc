#include "common/ldap/dn.h"

#include <fmt/format.h>
#include <ldap.h>

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

}  // namespace

std::string ChildDn(std::string_view attribute, std::string_view value, std::string_view parent) {
  return fmt::format("{}={},{}", attribute, EscapeValue(value), parent);
}

bool IsDn(const std::string& dn) {
  if (dn.empty() || dn.find('\0') != std::string::npos) return false;
  LDAPDN parsed = nullptr;
  const bool good = ldap_str2dn(dn.c_str(), &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
  if (parsed != nullptr) ldap_dnfree(parsed);
  return good;
}

}  // namespace prov::ldap
