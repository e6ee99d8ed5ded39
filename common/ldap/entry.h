// Entries and writes as plain values.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace prov::ldap {

using Values = std::vector<std::string>;
// Attribute names as the schema spells them.
using Attributes = std::map<std::string, Values>;

struct Entry {
  std::string dn;
  Attributes attributes;
  bool operator==(const Entry&) const = default;
};

struct Modification {
  enum class Kind { kAdd, kDelete, kReplace };
  Kind kind = Kind::kReplace;
  std::string attribute;
  Values values;  // kDelete and kReplace without values remove the attribute
  bool operator==(const Modification&) const = default;
};

struct Add {
  Entry entry;
};
struct Modify {
  std::string dn;
  std::vector<Modification> modifications;
};
struct Delete {
  std::string dn;
};
using Write = std::variant<Add, Modify, Delete>;

}  // namespace prov::ldap
