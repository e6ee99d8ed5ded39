#include "server/store/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <stdexcept>

namespace prov::store {
namespace {

using model::HostState;
using model::State;
using model::SuspendedMail;

model::State StateOf(std::string_view name) {
  for (const State state : {State::kActive, State::kSuspended, State::kClosed, State::kPurged}) {
    if (model::StateName(state) == name) return state;
  }
  throw std::runtime_error(fmt::format("unknown subscriber state {}", name));
}

HostState HostStateOf(const std::string& name) {
  for (const HostState state :
       {HostState::kServing, HostState::kDrained, HostState::kEvicted, HostState::kBanned}) {
    if (model::HostStateName(state) == name) return state;
  }
  throw std::runtime_error("unknown host state " + name);
}

model::Posting PostingOf(const std::string& name) {
  for (const auto posting : {model::Posting::kMembers, model::Posting::kOwners, model::Posting::kAnyone}) {
    if (model::PostingName(posting) == name) return posting;
  }
  throw std::runtime_error("unknown posting policy " + name);
}

model::MoveState MoveStateOf(const std::string& name) {
  using model::MoveState;
  for (const MoveState state :
       {MoveState::kCopying, MoveState::kSwitching, MoveState::kDone, MoveState::kCancelled}) {
    if (model::MoveStateName(state) == name) return state;
  }
  throw std::runtime_error("unknown state of a move " + name);
}

model::Time TimeOf(const pqxx::field& microseconds) {
  return model::Time(std::chrono::microseconds(microseconds.as<int64_t>()));
}

std::optional<model::Time> OptionalTimeOf(const pqxx::field& microseconds) {
  if (microseconds.is_null()) return std::nullopt;
  return TimeOf(microseconds);
}

template <typename Value>
Value FromJson(const pqxx::field& field) {
  const std::string_view text = field.c_str();
  if (text == "{}" || text == "[]") return Value();  // most are
  return nlohmann::json::parse(text).get<Value>();
}

}  // namespace

const char kSubscriberColumns[] = R"(
s.id, s.uid, s.login, s.display_name, s.mail, s.ftp, s.web, s.quota_bytes, s.plan, s.labels, s.forward_targets,
s.forward_keep_copy, s.state, s.state_before_close, s.suspend_reason, s.store_pool, s.leaving_pool, s.uid_number,
s.password_hash,
s.credential_version, d.suspended_mail, (date_part('epoch', s.create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', s.update_time) * 1e6)::bigint AS update_us, (date_part('epoch', s.delete_time) * 1e6)::bigint AS delete_us,
(date_part('epoch', s.expire_time) * 1e6)::bigint AS expire_us, s.revision,
COALESCE((SELECT jsonb_agg(a.address) FROM prov.address a WHERE a.subscriber_id = s.id), '[]') AS addresses,
COALESCE((SELECT jsonb_agg(w.name ORDER BY w.name) FROM prov.web_name w WHERE w.subscriber_id = s.id), '[]') AS web_names)";

// Fields by their place: looking a name up among so many costs more than all the rest, and this is read by
// the million.
model::Subscriber SubscriberOf(const pqxx::row& row) {
  pqxx::row::size_type place = 0;
  const auto next = [&] { return row[place++]; };
  model::Subscriber s;
  s.id = next().as<int64_t>();
  s.uid = next().c_str();
  s.login = next().c_str();
  s.display_name = next().c_str();
  s.entitlements.mail = next().as<bool>();
  s.entitlements.ftp = next().as<bool>();
  s.entitlements.web = next().as<bool>();
  s.quota_bytes = next().as<int64_t>();
  s.plan = next().c_str();
  s.labels = FromJson<std::map<std::string, std::string>>(next());
  s.forward.targets = FromJson<std::vector<std::string>>(next());
  s.forward.keep_copy = next().as<bool>();
  s.state = StateOf(next().c_str());
  s.state_before_close = StateOf(next().c_str());
  s.suspend_reason = next().c_str();
  s.store_pool = next().c_str();
  s.leaving_pool = next().c_str();  // "" for NULL
  s.uid_number = next().as<uint32_t>();
  s.password_hash = next().c_str();
  s.credential_version = next().as<uint64_t>();
  s.suspended_mail = SuspendedMailOfName(next().c_str());
  s.create_time = TimeOf(next());
  s.update_time = TimeOf(next());
  s.delete_time = OptionalTimeOf(next());
  s.expire_time = OptionalTimeOf(next());
  s.revision = next().as<uint64_t>();
  s.addresses = FromJson<std::vector<std::string>>(next());
  s.web_names = FromJson<std::vector<std::string>>(next());
  // The login first, the others sorted.
  std::sort(s.addresses.begin(), s.addresses.end(), [&](const std::string& a, const std::string& b) {
    return std::pair(a != s.login, a) < std::pair(b != s.login, b);
  });
  return s;
}

const char kDomainColumns[] = R"(
name, suspended_mail, COALESCE(alias_of, '') AS alias_of, catch_all, (date_part('epoch', create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', update_time) * 1e6)::bigint AS update_us, revision)";

model::Domain DomainOf(const pqxx::row& row) {
  model::Domain domain;
  domain.name = row["name"].as<std::string>();
  domain.suspended_mail = SuspendedMailOfName(row["suspended_mail"].as<std::string>());
  domain.alias_of = row["alias_of"].as<std::string>();
  domain.catch_all = row["catch_all"].as<std::string>();
  domain.create_time = TimeOf(row["create_us"]);
  domain.update_time = TimeOf(row["update_us"]);
  domain.revision = row["revision"].as<uint64_t>();
  return domain;
}

const char kMailingListColumns[] = R"(
l.address, l.display_name, l.owners, l.posting, l.pool, l.member_count,
(date_part('epoch', l.create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', l.update_time) * 1e6)::bigint AS update_us, l.revision)";

model::MailingList MailingListOf(const pqxx::row& row) {
  model::MailingList list;
  list.address = row["address"].as<std::string>();
  list.display_name = row["display_name"].as<std::string>();
  list.owners = FromJson<std::vector<std::string>>(row["owners"]);
  list.posting = PostingOf(row["posting"].as<std::string>());
  list.pool = row["pool"].as<std::string>();
  list.member_count = row["member_count"].as<int64_t>();
  list.create_time = TimeOf(row["create_us"]);
  list.update_time = TimeOf(row["update_us"]);
  list.revision = row["revision"].as<uint64_t>();
  return list;
}

const char kMemberColumns[] = R"(
m.list, m.address, l.pool, (date_part('epoch', m.create_time) * 1e6)::bigint AS create_us, m.revision)";

model::Member MemberOf(const pqxx::row& row) {
  model::Member member;
  member.list = row["list"].as<std::string>();
  member.address = row["address"].as<std::string>();
  member.pool = row["pool"].as<std::string>();
  member.create_time = TimeOf(row["create_us"]);
  member.revision = row["revision"].as<uint64_t>();
  return member;
}

const char kPoolColumns[] = R"(
id, role, weight, COALESCE((SELECT mailboxes FROM prov.pool_fill f WHERE f.pool = id), 0) AS mailboxes,
(date_part('epoch', create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', update_time) * 1e6)::bigint AS update_us, revision)";

model::Pool PoolOf(const pqxx::row& row) {
  model::Pool pool;
  pool.id = row["id"].as<std::string>();
  const auto role = model::RoleOfName(row["role"].as<std::string>());
  if (!role) throw std::runtime_error("unknown role in pool " + pool.id);
  pool.role = *role;
  pool.weight = row["weight"].as<uint32_t>();
  pool.mailboxes = row["mailboxes"].as<int64_t>();
  pool.create_time = TimeOf(row["create_us"]);
  pool.update_time = TimeOf(row["update_us"]);
  pool.revision = row["revision"].as<uint64_t>();
  return pool;
}

const char kMailboxMoveColumns[] = R"(
m.id, m.subscriber_id, s.uid, m.from_pool, m.to_pool, m.state, m.octets_copied, m.octets_total, m.error,
(date_part('epoch', m.create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', m.update_time) * 1e6)::bigint AS update_us, m.revision)";

model::MailboxMove MailboxMoveOf(const pqxx::row& row) {
  model::MailboxMove move;
  move.id = row["id"].as<int64_t>();
  move.subscriber_id = row["subscriber_id"].as<int64_t>();
  move.mailbox_id = row["uid"].as<std::string>();
  move.from_pool = row["from_pool"].as<std::string>();
  move.to_pool = row["to_pool"].as<std::string>();
  move.state = MoveStateOf(row["state"].as<std::string>());
  move.octets_copied = row["octets_copied"].as<int64_t>();
  move.octets_total = row["octets_total"].as<int64_t>();
  move.error = row["error"].as<std::string>();
  move.create_time = TimeOf(row["create_us"]);
  move.update_time = TimeOf(row["update_us"]);
  move.revision = row["revision"].as<uint64_t>();
  return move;
}

const char kHostColumns[] = R"(
id, weight, state, endpoints, (date_part('epoch', create_time) * 1e6)::bigint AS create_us,
(date_part('epoch', update_time) * 1e6)::bigint AS update_us, revision, inspection, inspection_repairs,
COALESCE((SELECT jsonb_agg(p.pool ORDER BY p.pool) FROM prov.host_pool p WHERE p.host = host.id), '[]') AS pools)";

model::Host HostOf(const pqxx::row& row) {
  model::Host host;
  host.id = row["id"].as<std::string>();
  host.weight = row["weight"].as<uint32_t>();
  host.state = HostStateOf(row["state"].as<std::string>());
  host.endpoints = FromJson<std::map<std::string, std::string>>(row["endpoints"]);
  host.create_time = TimeOf(row["create_us"]);
  host.update_time = TimeOf(row["update_us"]);
  host.revision = row["revision"].as<uint64_t>();
  host.inspection = row["inspection"].as<uint64_t>();
  host.inspection_repairs = row["inspection_repairs"].as<bool>();
  host.pools = FromJson<std::vector<std::string>>(row["pools"]);
  return host;
}

std::string ToJson(const std::vector<std::string>& list) { return nlohmann::json(list).dump(); }
std::string ToJson(const std::map<std::string, std::string>& table) { return nlohmann::json(table).dump(); }

std::string ToArray(const std::vector<int64_t>& numbers) {
  return fmt::format("{{{}}}", fmt::join(numbers, ","));
}

std::string_view SuspendedMailName(SuspendedMail policy) {
  switch (policy) {
    case SuspendedMail::kKeep:
      return "keep";
    case SuspendedMail::kReject:
      return "reject";
    case SuspendedMail::kDefer:
      return "defer";
  }
  return "keep";
}

SuspendedMail SuspendedMailOfName(const std::string& name) {
  for (const SuspendedMail policy : {SuspendedMail::kKeep, SuspendedMail::kReject, SuspendedMail::kDefer}) {
    if (SuspendedMailName(policy) == name) return policy;
  }
  throw std::runtime_error("unknown policy " + name);
}

int64_t ToMicroseconds(model::Time time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

}  // namespace prov::store
