#include "server/feed/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "server/model/lifecycle.h"

namespace prov::feed {
namespace {

using model::Role;

constexpr std::array kRoles = {
    std::pair{Role::kRelay, v1::RELAY},
    std::pair{Role::kStore, v1::STORE},
    std::pair{Role::kOutbound, v1::OUTBOUND},
    std::pair{Role::kList, v1::LIST},
    std::pair{Role::kPopProxy, v1::POP_PROXY},
    std::pair{Role::kFtp, v1::FTP},
    std::pair{Role::kWeb, v1::WEB},
};

v1::Disposition ToProto(model::Disposition disposition) {
  switch (disposition) {
    case model::Disposition::kAllow:
      return v1::ALLOW;
    case model::Disposition::kTempFail:
      return v1::TEMPFAIL;
    case model::Disposition::kReject:
      return v1::REJECT_PERMANENTLY;
  }
  return v1::TEMPFAIL;
}

v1::MailingListPosting ToProto(model::Posting posting) {
  switch (posting) {
    case model::Posting::kMembers:
      return v1::MEMBERS_POST;
    case model::Posting::kOwners:
      return v1::OWNERS_POST;
    case model::Posting::kAnyone:
      return v1::ANYONE_POSTS;
  }
  return v1::MEMBERS_POST;
}

bool IsInService(const model::Host& host) {
  return host.state == model::HostState::kServing || host.state == model::HostState::kDrained;
}

bool IsIn(const model::Host& host, const std::string& pool) {
  return std::find(host.pools.begin(), host.pools.end(), pool) != host.pools.end();
}

const model::Pool* PoolOfRole(const model::Host& host, Role role, const Fleet& fleet) {
  for (const std::string& id : host.pools) {
    const model::Pool* pool = fleet.FindPool(id);
    if (pool != nullptr && pool->role == role) return pool;
  }
  return nullptr;
}

bool IsEntitled(const model::Subscriber& subscriber, Role role) {
  return role == Role::kFtp ? subscriber.entitlements.ftp : subscriber.entitlements.web;
}

// Which services of the members of a pool of role `pool` the viewer connects to.
bool UsesService(Role viewer, Role pool, std::string_view service) {
  switch (viewer) {
    case Role::kRelay:
      return service == (pool == Role::kList ? "smtp" : "lmtp");
    case Role::kPopProxy:
      return service == "pop3" || service == "pop3s";
    case Role::kList:
      return service == "smtp";
    default:
      return false;
  }
}

void FillMailRoute(const model::Subscriber& subscriber, const model::Dispositions& may,
                   v1::MailRoute* route) {
  for (const std::string& address : subscriber.addresses) route->add_addresses(address);
  route->set_pool(subscriber.store_pool);
  route->set_receive(ToProto(may.receive));
}

void FillMailbox(const model::Subscriber& subscriber, const model::Dispositions& may, v1::Mailbox* mailbox) {
  mailbox->set_mailbox_id(subscriber.uid);
  mailbox->set_login(subscriber.login);
  for (const std::string& address : subscriber.addresses) mailbox->add_addresses(address);
  mailbox->set_receive(ToProto(may.receive));
  mailbox->set_login_disposition(ToProto(may.login));
  mailbox->set_credential_version(subscriber.credential_version);
  mailbox->set_quota_bytes(subscriber.quota_bytes);
  for (const std::string& target : subscriber.forward.targets) mailbox->add_forward_targets(target);
  mailbox->set_keep_copy(subscriber.forward.keep_copy);
  mailbox->set_uid_number(subscriber.uid_number);
  mailbox->set_closed(subscriber.state == model::State::kClosed);
}

void FillLoginRoute(const model::Subscriber& subscriber, const model::Dispositions& may,
                    v1::LoginRoute* route) {
  route->set_login(subscriber.login);
  route->set_pool(subscriber.store_pool);
  route->set_login_disposition(ToProto(may.login));
}

void FillAccount(const model::Subscriber& subscriber, model::Disposition use, v1::Account* account) {
  account->set_login(subscriber.login);
  account->set_uid_number(subscriber.uid_number);
  account->set_display_name(subscriber.display_name);
  account->set_home_id(subscriber.uid);
  account->set_use(ToProto(use));
  account->set_closed(subscriber.state == model::State::kClosed);
}

// Whether the subscriber is in the role's view. What a host keeps data for stays in its view until purged;
// what it only routes by goes as soon as it leads nowhere.
bool IsInView(const Viewer& viewer, const model::Subscriber& subscriber) {
  if (subscriber.state == model::State::kPurged) return false;
  const bool closed = subscriber.state == model::State::kClosed;
  switch (viewer.role) {
    case Role::kRelay:
    case Role::kPopProxy:
      return !closed && subscriber.entitlements.mail;
    case Role::kStore:
      return subscriber.store_pool == viewer.pool;
    case Role::kFtp:
    case Role::kWeb:
      return IsEntitled(subscriber, viewer.role);
    case Role::kOutbound:
    case Role::kList:
      return false;
  }
  return false;
}

}  // namespace

const model::Pool* Fleet::FindPool(const std::string& id) const {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [&](const auto& pool) { return pool.id == id; });
  return found == pools.end() ? nullptr : &*found;
}

const model::Host* Fleet::FindHost(const std::string& id) const {
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host.id == id; });
  return found == hosts.end() ? nullptr : &*found;
}

bool MayFollow(const model::Host& host, Role role, const Fleet& fleet) {
  return IsInService(host) && PoolOfRole(host, role, fleet) != nullptr;
}

Viewer ViewerOf(const model::Host& host, Role role, const Fleet& fleet) {
  Viewer viewer{.role = role};
  if (role == Role::kStore || role == Role::kList) {
    const model::Pool* pool = PoolOfRole(host, role, fleet);
    if (pool != nullptr) viewer.pool = pool->id;
  }
  return viewer;
}

bool SeesDomains(Role role) { return role == Role::kRelay || role == Role::kStore || role == Role::kList; }

bool SeesSubscribers(Role role) { return role != Role::kList && role != Role::kOutbound; }

bool SeesMailingLists(Role role) { return role == Role::kRelay || role == Role::kList; }

bool SeesMembers(Role role) { return role == Role::kList; }

bool SeesPool(Role role, Role pool) {
  switch (role) {
    case Role::kRelay:
      return pool == Role::kStore || pool == Role::kList;
    case Role::kPopProxy:
      return pool == Role::kStore;
    case Role::kList:
      return pool == Role::kRelay;
    default:
      return false;
  }
}

bool SeesPools(Role role) { return role == Role::kRelay || role == Role::kPopProxy || role == Role::kList; }

std::string SubscriberKey(int64_t id) { return fmt::format("subscribers/{}", id); }
std::string DomainKey(const std::string& name) { return "domains/" + name; }
std::string PoolKey(const std::string& id) { return "pools/" + id; }
std::string MailingListKey(const std::string& key) { return "lists/" + key; }

std::optional<v1::Record> ProjectSubscriber(const Viewer& viewer, const model::Subscriber& subscriber) {
  if (!IsInView(viewer, subscriber)) return std::nullopt;
  const model::Dispositions may =
      model::DispositionsOf(subscriber.state, subscriber.entitlements, subscriber.suspended_mail);
  v1::Record record;
  record.set_key(SubscriberKey(subscriber.id));
  record.set_revision(subscriber.revision);
  switch (viewer.role) {
    case Role::kRelay:
      FillMailRoute(subscriber, may, record.mutable_mail_route());
      return record;
    case Role::kStore:
      FillMailbox(subscriber, may, record.mutable_mailbox());
      return record;
    case Role::kPopProxy:
      FillLoginRoute(subscriber, may, record.mutable_login_route());
      return record;
    case Role::kFtp:
      FillAccount(subscriber, may.ftp, record.mutable_account());
      return record;
    case Role::kWeb:
      FillAccount(subscriber, may.web, record.mutable_account());
      return record;
    case Role::kOutbound:
    case Role::kList:
      break;
  }
  return std::nullopt;
}

std::optional<v1::Record> ProjectDomain(const Viewer& viewer, const model::Domain& domain) {
  if (!SeesDomains(viewer.role)) return std::nullopt;
  v1::Record record;
  record.set_key(DomainKey(domain.name));
  record.set_revision(domain.revision);
  v1::HostedDomain* hosted = record.mutable_domain();
  hosted->set_domain(domain.name);
  hosted->set_alias_of(domain.alias_of);
  // A list host only asks whether the domain is ours.
  if (viewer.role != Role::kList) hosted->set_catch_all(domain.catch_all);
  return record;
}

std::optional<v1::Record> ProjectMailingList(const Viewer& viewer, const model::MailingList& list) {
  v1::Record record;
  record.set_key(MailingListKey(list.address));
  record.set_revision(list.revision);
  if (viewer.role == Role::kRelay) {
    v1::MailRoute* route = record.mutable_mail_route();
    route->add_addresses(list.address);
    route->set_pool(list.pool);
    route->set_receive(v1::ALLOW);  // who may post is for the list's host to say
    return record;
  }
  if (viewer.role != Role::kList || viewer.pool != list.pool) return std::nullopt;
  v1::ExpandedList* expanded = record.mutable_list();
  expanded->set_address(list.address);
  for (const std::string& owner : list.owners) expanded->add_owners(owner);
  expanded->set_posting(ToProto(list.posting));
  return record;
}

std::optional<v1::Record> ProjectMember(const Viewer& viewer, const model::Member& member) {
  if (viewer.role != Role::kList || viewer.pool != member.pool) return std::nullopt;
  v1::Record record;
  record.set_key(MailingListKey(model::MemberKey(member.list, member.address)));
  record.set_revision(member.revision);
  record.mutable_list_member()->set_address(member.address);
  return record;
}

std::optional<v1::Record> ProjectPool(const Viewer& viewer, const model::Pool& pool,
                                      const std::vector<model::Host>& hosts) {
  if (!SeesPool(viewer.role, pool.role)) return std::nullopt;
  v1::Record record;
  record.set_key(PoolKey(pool.id));
  uint64_t revision = pool.revision;
  v1::PoolMembers* members = record.mutable_pool();
  members->set_pool(pool.id);
  members->set_role(ToProto(pool.role));
  for (const model::Host& host : hosts) {
    if (!IsIn(host, pool.id)) continue;
    revision = std::max(revision, host.revision);  // an evicted one changed the membership too
    if (!IsInService(host)) continue;
    v1::PoolMembers::Member* member = members->add_members();
    member->set_host(host.id);
    member->set_weight(host.weight);
    member->set_drained(host.state == model::HostState::kDrained);
    for (const auto& [service, endpoint] : host.endpoints) {
      if (UsesService(viewer.role, pool.role, service)) (*member->mutable_endpoints())[service] = endpoint;
    }
  }
  record.set_revision(revision);
  return record;
}

v1::Role ToProto(Role role) {
  for (const auto& [ours, theirs] : kRoles) {
    if (ours == role) return theirs;
  }
  return v1::ROLE_UNSPECIFIED;
}

std::optional<Role> FromProto(v1::Role role) {
  for (const auto& [ours, theirs] : kRoles) {
    if (theirs == role) return ours;
  }
  return std::nullopt;
}

}  // namespace prov::feed
