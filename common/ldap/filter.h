// Search filters that cannot be pasted together: values are always escaped (RFC 4515 section 3).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prov::ldap {

// Immutable. Attribute names are the program's own words, never somebody's input.
class Filter {
 public:
  static Filter Equal(std::string_view attribute, std::string_view value);
  static Filter Present(std::string_view attribute);
  // Of no members: And is true, Or is false (RFC 4526).
  static Filter And(const std::vector<Filter>& members);
  static Filter Or(const std::vector<Filter>& members);
  static Filter Not(const Filter& member);

  const std::string& ToString() const { return text_; }

 private:
  explicit Filter(std::string text) : text_(std::move(text)) {}
  static Filter Combine(char operation, const std::vector<Filter>& members);

  std::string text_;
};

}  // namespace prov::ldap
