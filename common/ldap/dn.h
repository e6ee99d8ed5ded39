// Distinguished names with values escaped (RFC 4514 section 2.4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prov::ldap {

// The name of an entry directly below `parent`: ChildDn("uid", "a+b@example.net", "ou=people,o=prov") is
// "uid=a\2Bb@example.net,ou=people,o=prov". `value` may hold anything; `parent` is a name already.
std::string ChildDn(std::string_view attribute, std::string_view value, std::string_view parent);

// The other way round, by what names mean and not how they are spelt; nothing when `dn` is no such name.
std::optional<std::string> ChildValue(std::string_view attribute, const std::string& dn,
                                      const std::string& parent);

// Whether `dn` is a well-formed, non-empty name.
bool IsDn(const std::string& dn);

}  // namespace prov::ldap
