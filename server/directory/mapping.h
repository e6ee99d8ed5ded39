// From the truth to entries, and nothing else: pure. schema/ldap/README.md describes the result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/ldap/entry.h"
#include "server/directory/services.h"
#include "server/model/domain.h"
#include "server/model/mailing_list.h"
#include "server/model/subscriber.h"

namespace prov::directory {

struct MappingOptions {
  std::string base;
  Services services;
  std::string home_prefix;
};

std::string PeopleDn(const std::string& base);
std::string DomainsDn(const std::string& base);
std::string ListsDn(const std::string& base);
std::string SystemDn(const std::string& base);
std::string CursorDn(const std::string& base);

// Nothing for closed and purged subscribers.
std::optional<ldap::Entry> SubscriberEntry(const model::Subscriber& subscriber,
                                           const MappingOptions& options);
ldap::Entry DomainEntry(const model::Domain& domain, const MappingOptions& options);
// Where the list's mail goes, and nothing of its members: no giant groups.
ldap::Entry MailingListEntry(const model::MailingList& list, const MappingOptions& options);

// All attributes that entries of ours may have: others are somebody else's, and stay.
const std::vector<std::string>& SubscriberAttributes();
const std::vector<std::string>& DomainAttributes();
const std::vector<std::string>& MailingListAttributes();

}  // namespace prov::directory
