#include "common/ldap/filter.h"

#include <fmt/format.h>

namespace prov::ldap {
namespace {

// RFC 4515 section 3 demands NUL ( ) * \. Everything that is not plainly printable ASCII is escaped too, so
// that invalid UTF-8 is still a well-formed filter, which then matches nothing.
std::string EscapeValue(std::string_view value) {
  std::string escaped;
  escaped.reserve(value.size());
  for (const unsigned char c : value) {
    const bool plain = c > 0x1F && c < 0x7F && c != '(' && c != ')' && c != '*' && c != '\\';
    if (plain) {
      escaped.push_back(static_cast<char>(c));
    } else {
      escaped += fmt::format("\\{:02x}", c);
    }
  }
  return escaped;
}

}  // namespace

Filter Filter::Equal(std::string_view attribute, std::string_view value) {
  return Filter(fmt::format("({}={})", attribute, EscapeValue(value)));
}

Filter Filter::Present(std::string_view attribute) { return Filter(fmt::format("({}=*)", attribute)); }

Filter Filter::Combine(char operation, const std::vector<Filter>& members) {
  std::string text = "(";
  text.push_back(operation);
  for (const Filter& member : members) text += member.text_;
  text.push_back(')');
  return Filter(std::move(text));
}

Filter Filter::And(const std::vector<Filter>& members) { return Combine('&', members); }
Filter Filter::Or(const std::vector<Filter>& members) { return Combine('|', members); }
Filter Filter::Not(const Filter& member) { return Combine('!', {member}); }

}  // namespace prov::ldap
