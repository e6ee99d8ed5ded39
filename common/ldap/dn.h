// Distinguished names with values escaped (RFC 4514 section 2.4).
#pragma once

#include <string>
#include <string_view>

namespace prov::ldap {

// The name of an entry directly below `parent`: ChildDn("uid", "a+b@example.net", "ou=people,o=prov") is
// "uid=a\2Bb@example.net,ou=people,o=prov". `value` may hold anything; `parent` is a name already.
std::string ChildDn(std::string_view attribute, std::string_view value, std::string_view parent);

// Whether `dn` is a well-formed, non-empty name.
bool IsDn(const std::string& dn);

}  // namespace prov::ldap
