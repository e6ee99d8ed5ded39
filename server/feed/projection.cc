#include "server/feed/projection.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "server/model/lifecycle.h"

namespace prov::feed {
namespace {

using model::Role;

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

bool IsIn(const model::Host& host, const std::string& pool) {
  return std::find(host.pools.begin(), host.pools.end(), pool) != host.pools.end();
}

bool IsEntitled(const model::Subscriber& subscriber, Role role) {
  return role == Role::kFtp ? subscriber.entitlements.ftp : subscriber.entitlements.web;
}

// Which services of the members of a pool of role `pool` the viewer connects to.
bool UsesService(Role viewer, Role pool, std::string_view service) {
  switch (viewer) {
    case Role::kRelay:
      if (pool == Role::kRelay) return false;
      return service == (pool == Role::kList ? "smtp" : "lmtp");
    case Role::kPopProxy:
      if (pool == Role::kPopProxy) return false;
      return service == "pop3" || service == "pop3s";
    case Role::kList:
      return service == "smtp";
    case Role::kStore:
      return service == "transfer";
    default:
      return false;
  }
}

void FillMailRoute(const model::Subscriber& subscriber, const model::Dispositions& may,
                   v1::MailRoute* route) {
  for (const std::string& address : subscriber.addresses) route->add_addresses(address);
  route->set_pool(subscriber.store_pool);
  route->set_receive(ToProto(may.receive));
  route->set_login(subscriber.login);
  route->set_submit(ToProto(may.submit));
  route->set_credential_version(subscriber.credential_version);
}

// Allowed, but not just now.
v1::Disposition Later(model::Disposition disposition) {
  return disposition == model::Disposition::kAllow ? v1::TEMPFAIL : ToProto(disposition);
}

// While its mail is under way to another pool, nobody reads it, and the old pool takes nothing in any more.
void FillTransit(const Viewer& viewer, const model::Subscriber& subscriber, const model::Dispositions& may,
                 v1::Mailbox* mailbox) {
  if (subscriber.leaving_pool.empty()) return;
  mailbox->set_login_disposition(Later(may.login));
  if (subscriber.leaving_pool != viewer.pool) return;
  mailbox->set_receive(Later(may.receive));
  mailbox->set_leaving(true);
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
  mailbox->set_plan(subscriber.plan);
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
      return subscriber.store_pool == viewer.pool || subscriber.leaving_pool == viewer.pool;
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
      FillTransit(viewer, subscriber, may, record.mutable_mailbox());
      return record;
    case Role::kPopProxy:
      FillLoginRoute(subscriber, may, record.mutable_login_route());
      return record;
    case Role::kFtp:
      FillAccount(subscriber, may.ftp, record.mutable_account());
      record.mutable_account()->set_plan(subscriber.plan);
      return record;
    case Role::kWeb:
      FillAccount(subscriber, may.web, record.mutable_account());
      for (const std::string& name : subscriber.web_names) record.mutable_account()->add_web_names(name);
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

std::optional<v1::Record> ProjectMailboxMove(const Viewer& viewer, const model::MailboxMove& move) {
  if (viewer.role != Role::kStore || !move.IsOpen()) return std::nullopt;
  if (viewer.pool != move.from_pool && viewer.pool != move.to_pool) return std::nullopt;
  v1::Record record;
  record.set_key(MailboxMoveKey(move.id));
  record.set_revision(move.revision);
  v1::MailboxTransit* transit = record.mutable_mailbox_transit();
  transit->set_mailbox_id(move.mailbox_id);
  transit->set_from_pool(move.from_pool);
  transit->set_to_pool(move.to_pool);
  transit->set_switching(move.state == model::MoveState::kSwitching);
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
    if (!host.IsInService()) continue;
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

}  // namespace prov::feed
