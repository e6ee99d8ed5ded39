// Which aggregates have entries, and how each is known in the directory: one row a kind.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ldap/entry.h"
#include "server/store/read_snapshot.h"

namespace prov::directory {

struct EntryKind {
  store::AggregateKind aggregate = store::AggregateKind::kSubscriber;
  std::string_view collection;  // "subscribers/", before the key in Item::Name
  const char* container;        // "people": of ou=people,BASE
  const char* object_class;     // that entries of ours have, and those of others do not
  const char* key;              // the attribute whose value is the aggregate's key
  const char* name;             // the attribute that names the entry; compares without case
  // All attributes that entries of ours may have: others are somebody else's, and stay.
  const std::vector<std::string>& (*attributes)();
};

// In the order in which entries are written.
const std::array<EntryKind, 3>& EntryKinds();

// Nullptr: the aggregate has no entry.
const EntryKind* EntryKindOf(store::AggregateKind aggregate);
// Of an entry below one of the containers.
const EntryKind& EntryKindOf(const ldap::Entry& entry);
// "domains/example.net" → its kind and key; nothing for a name that is not ours.
std::optional<std::pair<store::AggregateKind, std::string>> ParseItemName(std::string_view name);

std::string ContainerDn(const EntryKind& kind, const std::string& base);

}  // namespace prov::directory
