// Rows of schema/sql as types of the model. Throws what libpqxx and nlohmann::json throw on a row that is not
// ours.
#pragma once

#include <pqxx/row>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/mailbox_move.h"
#include "server/model/mailing_list.h"
#include "server/model/subscriber.h"

namespace prov::store {

// What SubscriberOf reads, from `prov.subscriber s JOIN prov.domain d ON d.name = s.domain`.
extern const char kSubscriberColumns[];
model::Subscriber SubscriberOf(const pqxx::row& row);

extern const char kDomainColumns[];  // from prov.domain
model::Domain DomainOf(const pqxx::row& row);

extern const char kMailingListColumns[];  // from prov.mailing_list l
model::MailingList MailingListOf(const pqxx::row& row);

extern const char kMemberColumns[];  // from prov.mailing_list_member m, prov.mailing_list l
model::Member MemberOf(const pqxx::row& row);

extern const char kPoolColumns[];  // from prov.pool
model::Pool PoolOf(const pqxx::row& row);

extern const char kMailboxMoveColumns[];  // from prov.mailbox_move m, prov.subscriber s
model::MailboxMove MailboxMoveOf(const pqxx::row& row);

extern const char kHostColumns[];  // from prov.host
model::Host HostOf(const pqxx::row& row);

// JSON texts, as the columns hold them. Invalid UTF-8 never gets here: the model has refused it.
std::string ToJson(const std::vector<std::string>& list);
std::string ToJson(const std::map<std::string, std::string>& table);

// A PostgreSQL array of numbers, "{1,2}".
std::string ToArray(const std::vector<int64_t>& numbers);

std::string_view SuspendedMailName(model::SuspendedMail policy);
model::SuspendedMail SuspendedMailOfName(const std::string& name);

// Microseconds since 1970, for `to_timestamp($1 / 1e6)`.
int64_t ToMicroseconds(model::Time time);

}  // namespace prov::store
