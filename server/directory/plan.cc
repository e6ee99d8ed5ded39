#include "server/directory/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/mail_address.h"
#include "server/directory/entry_kind.h"

namespace prov::directory {
namespace {

using store::AggregateKind;

std::string First(const ldap::Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  return found == attributes.end() || found->second.empty() ? std::string() : found->second.front();
}

bool SameValues(const ldap::Values* current, const ldap::Values* wanted) {
  static const ldap::Values none;
  const ldap::Values& a = current != nullptr ? *current : none;
  const ldap::Values& b = wanted != nullptr ? *wanted : none;
  return a.size() == b.size() && std::is_permutation(a.begin(), a.end(), b.begin());
}

const ldap::Values* Find(const ldap::Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? nullptr : &found->second;
}

std::string NameOf(const EntryKind& kind, const ldap::Attributes& attributes) {
  return FoldAddress(First(attributes, kind.name));
}

using NamedEntries = std::map<std::pair<AggregateKind, std::string>, const ldap::Entry*>;

// Entries that carry an item's id, but not a name that this plan gives to anybody.
void PlanRemovals(const std::vector<Item>& items, const std::vector<ldap::Entry>& current,
                  const std::set<std::pair<AggregateKind, std::string>>& taken,
                  std::vector<PlannedWrite>& planned) {
  std::map<std::pair<AggregateKind, std::string>, size_t> items_by_key;
  for (size_t i = 0; i < items.size(); ++i) items_by_key[{items[i].kind, items[i].key}] = i;
  for (const ldap::Entry& entry : current) {
    const EntryKind& kind = EntryKindOf(entry);
    const std::string name = NameOf(kind, entry.attributes);
    const std::string key = FoldAddress(First(entry.attributes, kind.key));
    const auto item = items_by_key.find({kind.aggregate, key});
    if (item == items_by_key.end() || taken.contains({kind.aggregate, name})) continue;
    planned.push_back({item->second, ldap::Delete{entry.dn}});
  }
}

}  // namespace

std::string Item::Name() const { return std::string(EntryKindOf(kind)->collection) + key; }

std::vector<ldap::Modification> Difference(const ldap::Attributes& current, const ldap::Attributes& wanted,
                                           const std::vector<std::string>& names) {
  std::vector<ldap::Modification> modifications;
  for (const std::string& name : names) {
    const ldap::Values* have = Find(current, name);
    const ldap::Values* want = Find(wanted, name);
    if (SameValues(have, want)) continue;
    modifications.push_back(
        {ldap::Modification::Kind::kReplace, name, want != nullptr ? *want : ldap::Values()});
  }
  return modifications;
}

std::vector<PlannedWrite> Plan(const std::vector<Item>& items, const std::vector<ldap::Entry>& current) {
  NamedEntries by_name;
  for (const ldap::Entry& entry : current) {
    const EntryKind& kind = EntryKindOf(entry);
    by_name[{kind.aggregate, NameOf(kind, entry.attributes)}] = &entry;
  }
  std::vector<PlannedWrite> planned;
  std::set<std::pair<AggregateKind, std::string>> taken;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (!item.wanted.has_value()) continue;
    const EntryKind& kind = *EntryKindOf(item.kind);
    const auto name = std::pair(item.kind, NameOf(kind, item.wanted->attributes));
    taken.insert(name);
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      planned.push_back({i, ldap::Add{*item.wanted}});
      continue;
    }
    auto modifications = Difference(found->second->attributes, item.wanted->attributes, kind.attributes());
    if (!modifications.empty())
      planned.push_back({i, ldap::Modify{found->second->dn, std::move(modifications)}});
  }
  PlanRemovals(items, current, taken, planned);
  return planned;
}

}  // namespace prov::directory
