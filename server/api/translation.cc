#include "server/api/translation.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>

#include "common/status.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

google::protobuf::Timestamp ToTimestamp(model::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

v1::Subscriber::State ToProto(model::State state) {
  switch (state) {
    case model::State::kActive:
      return v1::Subscriber::ACTIVE;
    case model::State::kSuspended:
      return v1::Subscriber::SUSPENDED;
    case model::State::kClosed:
      return v1::Subscriber::CLOSED;
    case model::State::kPurged:
      return v1::Subscriber::PURGED;
  }
  return v1::Subscriber::STATE_UNSPECIFIED;
}

v1::Domain::SuspendedMail ToProto(model::SuspendedMail policy) {
  switch (policy) {
    case model::SuspendedMail::kKeep:
      return v1::Domain::KEEP;
    case model::SuspendedMail::kReject:
      return v1::Domain::REJECT;
    case model::SuspendedMail::kDefer:
      return v1::Domain::DEFER;
  }
  return v1::Domain::SUSPENDED_MAIL_UNSPECIFIED;
}

v1::MailingList::Posting ToProto(model::Posting posting) {
  switch (posting) {
    case model::Posting::kMembers:
      return v1::MailingList::MEMBERS;
    case model::Posting::kOwners:
      return v1::MailingList::OWNERS;
    case model::Posting::kAnyone:
      return v1::MailingList::ANYONE;
  }
  return v1::MailingList::POSTING_UNSPECIFIED;
}

v1::Role ToProto(model::Role role) {
  switch (role) {
    case model::Role::kRelay:
      return v1::RELAY;
    case model::Role::kStore:
      return v1::STORE;
    case model::Role::kOutbound:
      return v1::OUTBOUND;
    case model::Role::kList:
      return v1::LIST;
    case model::Role::kPopProxy:
      return v1::POP_PROXY;
    case model::Role::kFtp:
      return v1::FTP;
    case model::Role::kWeb:
      return v1::WEB;
  }
  return v1::ROLE_UNSPECIFIED;
}

v1::Host::State ToProto(model::HostState state) {
  switch (state) {
    case model::HostState::kServing:
      return v1::Host::SERVING;
    case model::HostState::kDrained:
      return v1::Host::DRAINED;
    case model::HostState::kEvicted:
      return v1::Host::EVICTED;
    case model::HostState::kBanned:
      return v1::Host::BANNED;
  }
  return v1::Host::STATE_UNSPECIFIED;
}

}  // namespace

v1::Subscriber ToProto(const model::Subscriber& s) {
  v1::Subscriber proto;
  proto.set_name(fmt::format("subscribers/{}", s.id));
  proto.set_uid(s.uid);
  proto.set_login(s.login);
  proto.set_display_name(s.display_name);
  for (const std::string& address : s.addresses) proto.add_addresses(address);
  for (const std::string& name : s.web_names) proto.add_web_names(name);
  if (!s.forward.targets.empty()) {
    for (const std::string& target : s.forward.targets) proto.mutable_forward()->add_targets(target);
    proto.mutable_forward()->set_keep_copy(s.forward.keep_copy);
  }
  proto.mutable_entitlements()->set_mail(s.entitlements.mail);
  proto.mutable_entitlements()->set_ftp(s.entitlements.ftp);
  proto.mutable_entitlements()->set_web(s.entitlements.web);
  proto.set_quota_bytes(s.quota_bytes);
  proto.set_plan(s.plan);
  proto.mutable_labels()->insert(s.labels.begin(), s.labels.end());
  proto.set_state(ToProto(s.state));
  proto.set_suspend_reason(s.suspend_reason);
  if (!s.store_pool.empty()) proto.set_store_pool("pools/" + s.store_pool);
  proto.set_uid_number(s.uid_number);
  proto.set_has_password(!s.password_hash.empty());
  *proto.mutable_create_time() = ToTimestamp(s.create_time);
  *proto.mutable_update_time() = ToTimestamp(s.update_time);
  if (s.delete_time) *proto.mutable_delete_time() = ToTimestamp(*s.delete_time);
  if (s.expire_time) *proto.mutable_expire_time() = ToTimestamp(*s.expire_time);
  proto.set_etag(EtagOf(s.revision));
  proto.set_revision(s.revision);
  return proto;
}

v1::Domain ToProto(const model::Domain& domain) {
  v1::Domain proto;
  proto.set_name("domains/" + domain.name);
  proto.set_suspended_mail(ToProto(domain.suspended_mail));
  if (!domain.alias_of.empty()) proto.set_alias_of("domains/" + domain.alias_of);
  proto.set_catch_all(domain.catch_all);
  *proto.mutable_create_time() = ToTimestamp(domain.create_time);
  *proto.mutable_update_time() = ToTimestamp(domain.update_time);
  proto.set_etag(EtagOf(domain.revision));
  proto.set_revision(domain.revision);
  return proto;
}

v1::MailingList ToProto(const model::MailingList& list) {
  v1::MailingList proto;
  proto.set_name("lists/" + list.address);
  proto.set_display_name(list.display_name);
  for (const std::string& owner : list.owners) proto.add_owners(owner);
  proto.set_posting(ToProto(list.posting));
  proto.set_pool("pools/" + list.pool);
  proto.set_member_count(list.member_count);
  *proto.mutable_create_time() = ToTimestamp(list.create_time);
  *proto.mutable_update_time() = ToTimestamp(list.update_time);
  proto.set_etag(EtagOf(list.revision));
  proto.set_revision(list.revision);
  return proto;
}

v1::Member ToProto(const model::Member& member) {
  v1::Member proto;
  proto.set_name("lists/" + model::MemberKey(member.list, member.address));
  *proto.mutable_create_time() = ToTimestamp(member.create_time);
  proto.set_revision(member.revision);
  return proto;
}

v1::Pool ToProto(const model::Pool& pool) {
  v1::Pool proto;
  proto.set_name("pools/" + pool.id);
  proto.set_role(ToProto(pool.role));
  proto.set_weight(pool.weight);
  proto.set_mailboxes(pool.mailboxes);
  *proto.mutable_create_time() = ToTimestamp(pool.create_time);
  *proto.mutable_update_time() = ToTimestamp(pool.update_time);
  proto.set_etag(EtagOf(pool.revision));
  proto.set_revision(pool.revision);
  return proto;
}

v1::Host ToProto(const model::Host& host) {
  v1::Host proto;
  proto.set_name("hosts/" + host.id);
  for (const std::string& pool : host.pools) proto.add_pools("pools/" + pool);
  proto.set_weight(host.weight);
  proto.set_state(ToProto(host.state));
  proto.mutable_endpoints()->insert(host.endpoints.begin(), host.endpoints.end());
  *proto.mutable_create_time() = ToTimestamp(host.create_time);
  *proto.mutable_update_time() = ToTimestamp(host.update_time);
  proto.set_etag(EtagOf(host.revision));
  proto.set_revision(host.revision);
  proto.set_inspection(host.inspection);
  return proto;
}

v1::Inspection ToProto(const store::Inspection& inspection) {
  v1::Inspection proto;
  proto.set_number(inspection.number);
  proto.set_repair(inspection.repair);
  *proto.mutable_begin_time() = ToTimestamp(inspection.begin);
  if (inspection.end) *proto.mutable_end_time() = ToTimestamp(*inspection.end);
  proto.set_inspected_records(inspection.inspected_records);
  proto.set_all_records(inspection.all_records);
  proto.set_drifting(inspection.drifting);
  for (const store::Drift& drift : inspection.drifts) {
    v1::Drift* told = proto.add_drifts();
    told->set_key(drift.key);
    told->set_driver(drift.driver);
    told->set_difference(drift.difference);
  }
  proto.set_failed_records(inspection.failed_records);
  proto.set_error(inspection.error);
  proto.set_held(inspection.held);
  return proto;
}

v1::HostProgress ToProto(const store::HostProgress& progress) {
  v1::HostProgress proto;
  proto.set_role(ToProto(progress.role));
  proto.set_connected(progress.connected);
  proto.set_received_revision(progress.received_revision);
  proto.set_applied_revision(progress.applied_revision);
  proto.set_failing_items(progress.failing_items);
  *proto.mutable_last_seen_time() = ToTimestamp(progress.last_seen);
  proto.set_agent_version(progress.agent_version);
  for (const store::FailingItem& item : progress.failing) {
    v1::FailingItem* failing = proto.add_failing();
    failing->set_key(item.key);
    failing->set_revision(item.revision);
    failing->set_error(item.error);
    if (item.retry_in) failing->mutable_retry_in()->set_seconds(item.retry_in->count());
    failing->set_attempts(item.attempts);
  }
  if (progress.sessions) proto.set_sessions(*progress.sessions);
  if (progress.ready) proto.set_ready(*progress.ready);
  if (progress.inspection) *proto.mutable_inspection() = ToProto(*progress.inspection);
  return proto;
}

v1::AuditRecord ToProto(const store::AuditRecord& record) {
  v1::AuditRecord proto;
  proto.set_id(record.id);
  *proto.mutable_time() = ToTimestamp(record.time);
  proto.set_caller(record.caller);
  proto.set_peer(record.peer);
  proto.set_method(record.method);
  proto.set_resource(record.resource);
  proto.set_request_id(record.request_id);
  proto.set_revision(record.revision);
  proto.set_code(record.code);
  proto.set_before_json(record.before_json);
  proto.set_after_json(record.after_json);
  proto.set_hash(store::HexOf(record.hash));
  return proto;
}

v1::MailboxMove::State ToProto(model::MoveState state) {
  switch (state) {
    case model::MoveState::kCopying:
      return v1::MailboxMove::COPYING;
    case model::MoveState::kSwitching:
      return v1::MailboxMove::SWITCHING;
    case model::MoveState::kDone:
      return v1::MailboxMove::DONE;
    case model::MoveState::kCancelled:
      return v1::MailboxMove::CANCELLED;
  }
  return v1::MailboxMove::STATE_UNSPECIFIED;
}

v1::MailboxMove ToProto(const model::MailboxMove& move) {
  v1::MailboxMove proto;
  proto.set_name(fmt::format("moves/{}", move.id));
  proto.set_subscriber(fmt::format("subscribers/{}", move.subscriber_id));
  proto.set_from_pool("pools/" + move.from_pool);
  proto.set_to_pool("pools/" + move.to_pool);
  proto.set_state(ToProto(move.state));
  proto.set_octets_copied(move.octets_copied);
  proto.set_octets_total(move.octets_total);
  proto.set_error(move.error);
  *proto.mutable_create_time() = ToTimestamp(move.create_time);
  *proto.mutable_update_time() = ToTimestamp(move.update_time);
  proto.set_revision(move.revision);
  return proto;
}

v1::ScheduledChange ToProto(const store::ScheduledChange& change) {
  v1::ScheduledChange proto;
  proto.set_name(fmt::format("scheduledChanges/{}", change.id));
  proto.set_subscriber(fmt::format("subscribers/{}", change.subscriber_id));
  proto.set_login(change.login);
  if (change.method == kSuspendMethod) {
    proto.set_action(v1::ScheduledChange::SUSPEND);
    v1::SuspendSubscriberRequest request;
    if (request.ParseFromString(change.request)) proto.set_reason(request.reason());
  } else if (change.method == kResumeMethod) {
    proto.set_action(v1::ScheduledChange::RESUME);
  } else if (change.method == kDeleteMethod) {
    proto.set_action(v1::ScheduledChange::DELETE);
  }
  *proto.mutable_effective_time() = ToTimestamp(change.effective_time);
  proto.set_caller(change.caller);
  *proto.mutable_create_time() = ToTimestamp(change.create_time);
  proto.set_error(change.stopped ? fmt::format("waits: {} is stopped until an operator approves api/{}",
                                               change.caller, change.caller)
                                 : change.error);
  return proto;
}

absl::StatusOr<model::Role> RoleFromProto(v1::Role role) {
  for (const model::Role candidate :
       {model::Role::kRelay, model::Role::kStore, model::Role::kOutbound, model::Role::kList,
        model::Role::kPopProxy, model::Role::kFtp, model::Role::kWeb}) {
    if (ToProto(candidate) == role) return candidate;
  }
  return InvalidField("pool.role", "is required: RELAY, STORE, OUTBOUND, LIST, POP_PROXY, FTP or WEB");
}

absl::Status CheckEtag(std::string_view etag, uint64_t revision) {
  if (etag.empty() || etag == EtagOf(revision)) return absl::OkStatus();
  return FieldError(absl::StatusCode::kAborted, "etag", "ETAG_MISMATCH",
                    "is not the present one: somebody changed the resource meanwhile; read it again");
}

std::string EtagOf(uint64_t revision) { return fmt::format("r{}", revision); }

}  // namespace prov::api
