// The model's aggregates as records of the agent sync contract, each role's as view.h says. Pure.
#pragma once

#include <optional>
#include <vector>

#include "prov/v1/agent_sync.pb.h"
#include "server/feed/view.h"
#include "server/model/domain.h"
#include "server/model/fleet.h"
#include "server/model/mailbox_move.h"
#include "server/model/mailing_list.h"
#include "server/model/subscriber.h"

namespace prov::feed {

// Nothing: not in this view.
std::optional<v1::Record> ProjectSubscriber(const Viewer& viewer, const model::Subscriber& subscriber);
std::optional<v1::Record> ProjectDomain(const Viewer& viewer, const model::Domain& domain);
std::optional<v1::Record> ProjectMailingList(const Viewer& viewer, const model::MailingList& list);
std::optional<v1::Record> ProjectMember(const Viewer& viewer, const model::Member& member);
std::optional<v1::Record> ProjectMailboxMove(const Viewer& viewer, const model::MailboxMove& move);
std::optional<v1::Record> ProjectPool(const Viewer& viewer, const model::Pool& pool,
                                      const std::vector<model::Host>& hosts);

}  // namespace prov::feed
