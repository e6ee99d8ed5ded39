#include "server/directory/entry_kind.h"

#include "server/directory/mapping.h"

namespace prov::directory {

using store::AggregateKind;

const std::array<EntryKind, 3>& EntryKinds() {
  static constexpr std::array<EntryKind, 3> kinds = {{
      {AggregateKind::kSubscriber, "subscribers/", "people", "provSubscriber", "provSubscriberId", "uid",
       SubscriberAttributes},
      {AggregateKind::kDomain, "domains/", "domains", "provDomain", "dc", "dc", DomainAttributes},
      {AggregateKind::kMailingList, "lists/", "lists", "provMailingList", "mailLocalAddress",
       "mailLocalAddress", MailingListAttributes},
  }};
  return kinds;
}

const EntryKind* EntryKindOf(AggregateKind aggregate) {
  for (const EntryKind& kind : EntryKinds()) {
    if (kind.aggregate == aggregate) return &kind;
  }
  return nullptr;
}

const EntryKind& EntryKindOf(const ldap::Entry& entry) {
  const auto& [subscriber, domain, list] = EntryKinds();
  if (entry.attributes.contains(domain.name)) return domain;
  // People have addresses as well.
  return entry.attributes.contains(list.name) && !entry.attributes.contains(subscriber.name) ? list
                                                                                             : subscriber;
}

std::optional<std::pair<AggregateKind, std::string>> ParseItemName(std::string_view name) {
  for (const EntryKind& kind : EntryKinds()) {
    if (name.starts_with(kind.collection)) {
      return std::pair(kind.aggregate, std::string(name.substr(kind.collection.size())));
    }
  }
  return std::nullopt;
}

std::string ContainerDn(const EntryKind& kind, const std::string& base) {
  return std::string("ou=") + kind.container + "," + base;
}

}  // namespace prov::directory
