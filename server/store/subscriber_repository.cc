#include "server/store/subscriber_repository.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::Subscriber;

std::string Select(std::string_view where) {
  return fmt::format("SELECT {} FROM prov.subscriber s JOIN prov.domain d ON d.name = s.domain WHERE {}",
                     kSubscriberColumns, where);
}

const std::string& SelectById() {
  static const std::string sql = Select("s.id = $1");
  return sql;
}
const std::string& SelectByLogin() {
  static const std::string sql = Select("s.login = $1 AND s.state <> 'purged'");
  return sql;
}

bool IsId(const std::string& text) {
  // 18 digits are below 2^63.
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string::npos;
}

absl::Status NotFound(const std::string& id_or_login) {
  return FieldError(absl::StatusCode::kNotFound, "name", "SUBSCRIBER_UNKNOWN",
                    fmt::format("there is no subscriber {}", id_or_login));
}

absl::Status AddressTaken(std::string_view field, std::string_view reason, const std::string& address) {
  return FieldError(
      absl::StatusCode::kAlreadyExists, field, reason,
      fmt::format("{} belongs to another subscriber or list, or is reserved after a purge", address));
}

constexpr Statement kInsert = {"insert_subscriber", R"(
WITH s AS (
  INSERT INTO prov.subscriber (login, domain, display_name, mail, ftp, web, quota_bytes, plan, labels, forward_targets,
                               forward_keep_copy, store_pool, password_hash, credential_version, revision)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb, $11, $12, $13, $14, $14)
  RETURNING *
), a AS (
  INSERT INTO prov.address (address, domain, subscriber_id) SELECT login, domain, id FROM s
  ON CONFLICT (address) DO UPDATE SET subscriber_id = excluded.subscriber_id, reserved_until = NULL
    WHERE prov.address.reserved_until < now()
  RETURNING 1
)
SELECT id, uid, uid_number, (date_part('epoch', create_time) * 1e6)::bigint AS create_us, (SELECT count(*) FROM a) AS taken,
       (SELECT suspended_mail FROM prov.domain WHERE name = $2) AS suspended_mail
FROM s)"};

constexpr Statement kSave = {"save_subscriber", R"(
UPDATE prov.subscriber SET display_name = $2, mail = $3, ftp = $4, web = $5, quota_bytes = $6, plan = $7,
  labels = $8::jsonb, forward_targets = $9::jsonb, forward_keep_copy = $10, state = $11, state_before_close = $12,
  suspend_reason = $13, store_pool = $14, password_hash = $15, credential_version = $16, update_time = now(),
  delete_time = to_timestamp(NULLIF($17::bigint, 0) / 1e6), expire_time = to_timestamp(NULLIF($18::bigint, 0) / 1e6), revision = $19
WHERE id = $1)"};

constexpr Statement kAddAddress = {"add_address", R"(
INSERT INTO prov.address (address, domain, subscriber_id) VALUES ($1, $2, $3)
ON CONFLICT (address) DO UPDATE SET subscriber_id = excluded.subscriber_id, reserved_until = NULL
  WHERE prov.address.reserved_until < now())"};

constexpr Statement kRemoveAddress = {"remove_address",
                                      "DELETE FROM prov.address WHERE address = $1 AND subscriber_id = $2"};

constexpr Statement kReserveAddresses = {
    "reserve_addresses",
    "UPDATE prov.address SET subscriber_id = NULL, reserved_until = now() + make_interval(days => $2::int) "
    "WHERE subscriber_id = $1"};

// Both in one round trip: a row for each pool, or one for none.
const std::string& SelectPlacement() {
  static const std::string sql = fmt::format(
      "SELECT d.alias_of_domain, p.* FROM (SELECT (SELECT COALESCE(alias_of, '') FROM prov.domain WHERE name "
      "= $1) AS "
      "alias_of_domain) d LEFT JOIN (SELECT {} FROM prov.pool WHERE role = 'store') p ON true ORDER BY p.id",
      kPoolColumns);
  return sql;
}

Subscriber One(const pqxx::result& found) { return SubscriberOf(found[0]); }

int64_t MicrosecondsOr0(const std::optional<model::Time>& time) { return time ? ToMicroseconds(*time) : 0; }

// LIKE's own characters in a prefix.
std::string LikePrefix(const std::string& prefix) {
  std::string pattern;
  for (const char c : prefix) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

}  // namespace

absl::StatusOr<Subscriber> SubscriberRepository::Get(const std::string& id_or_login) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a subscriber", [&]() -> absl::StatusOr<Subscriber> {
    pqxx::read_transaction read(*lease);
    const pqxx::result found =
        read.exec_params(IsId(id_or_login) ? SelectById() : SelectByLogin(), id_or_login);
    if (found.empty()) return NotFound(id_or_login);
    return One(found);
  });
}

absl::StatusOr<Subscriber> SubscriberRepository::GetByAddress(const std::string& address) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read a subscriber", [&]() -> absl::StatusOr<Subscriber> {
    pqxx::read_transaction read(*lease);
    const pqxx::result owner = read.exec_params(
        "SELECT subscriber_id FROM prov.address WHERE address = $1 AND subscriber_id IS NOT NULL", address);
    if (owner.empty()) return NotFound(address);
    const pqxx::result found = read.exec_params(SelectById(), owner[0][0].as<std::string>());
    if (found.empty()) return NotFound(address);
    return One(found);
  });
}

absl::StatusOr<std::vector<Subscriber>> SubscriberRepository::List(const SubscriberQuery& query) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  // Only the conditions that restrict, so that each query has a plan of its own; values are parameters
  // throughout.
  std::string where = "s.id > $1";
  std::vector<std::string> values;
  const auto add = [&](std::string_view condition, std::string value) {
    values.push_back(std::move(value));
    where += fmt::format(" AND {} ${}", condition, values.size() + 2);
  };
  if (query.state) {
    add("s.state =", std::string(model::StateName(*query.state)));
  } else {
    where += query.show_deleted ? " AND s.state <> 'purged'" : " AND s.state IN ('active', 'suspended')";
  }
  if (!query.domain.empty()) add("s.domain =", query.domain);
  if (!query.login.empty()) add("s.login =", query.login);
  if (!query.login_prefix.empty()) add("s.login LIKE", LikePrefix(query.login_prefix));
  if (!query.web_name.empty()) {
    add("s.id = (SELECT w.subscriber_id FROM prov.web_name w WHERE w.name =", query.web_name);
    where += ")";
  }
  if (!query.labels.empty()) add("s.labels @>", ToJson(query.labels));
  return Guarded("list subscribers", [&]() -> absl::StatusOr<std::vector<Subscriber>> {
    pqxx::read_transaction read(*lease);
    const std::string sql = Select(where) + " ORDER BY s.id LIMIT $2";
    std::vector<Subscriber> subscribers;
    const pqxx::result rows =
        read.exec_params(sql, query.after_id, query.limit, pqxx::prepare::make_dynamic_params(values));
    for (const auto& row : rows) subscribers.push_back(SubscriberOf(row));
    return subscribers;
  });
}

absl::StatusOr<std::vector<int64_t>> SubscriberRepository::Expired(const std::string& caller, size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read expired subscribers", [&]() -> absl::StatusOr<std::vector<int64_t>> {
    pqxx::read_transaction read(*lease);
    std::vector<int64_t> ids;
    for (const auto& row : read.exec_params(
             "SELECT id FROM prov.subscriber WHERE state = 'closed' AND expire_time <= now() AND NOT EXISTS "
             "(SELECT 1 FROM prov.caller_harm WHERE caller = $1 AND stopped_time IS NOT NULL) "
             "ORDER BY expire_time LIMIT $2",
             caller, limit)) {
      ids.push_back(row[0].as<int64_t>());
    }
    return ids;
  });
}

absl::StatusOr<Subscriber> SubscriberRepository::Find(WriteTransaction& write,
                                                      const std::string& id_or_login) {
  const pqxx::result found =
      IsId(id_or_login) ? write.Execute({"subscriber_by_id", SelectById().c_str()}, id_or_login)
                        : write.Execute({"subscriber_by_login", SelectByLogin().c_str()}, id_or_login);
  if (found.empty()) return NotFound(id_or_login);
  return One(found);
}

absl::StatusOr<Subscriber> SubscriberRepository::Insert(WriteTransaction& write, Subscriber s) {
  const std::string domain = s.login.substr(s.login.rfind('@') + 1);
  const pqxx::result added =
      write.Execute(kInsert, s.login, domain, s.display_name, s.entitlements.mail, s.entitlements.ftp,
                    s.entitlements.web, s.quota_bytes, s.plan, ToJson(s.labels), ToJson(s.forward.targets),
                    s.forward.keep_copy, s.store_pool, s.password_hash, write.revision());
  const pqxx::row row = added[0];
  if (row["taken"].as<int>() == 0) return AddressTaken("subscriber.login", "LOGIN_TAKEN", s.login);
  s.id = row["id"].as<int64_t>();
  s.uid = row["uid"].as<std::string>();
  s.uid_number = row["uid_number"].as<uint32_t>();
  s.create_time = s.update_time = model::Time(std::chrono::microseconds(row["create_us"].as<int64_t>()));
  s.addresses = {s.login};
  s.credential_version = s.revision = write.revision();
  write.AddChange(AggregateKind::kSubscriber, std::to_string(s.id));
  return s;
}

absl::StatusOr<Subscriber> SubscriberRepository::Save(WriteTransaction& write, Subscriber s) {
  s.revision = write.revision();
  write.Execute(kSave, s.id, s.display_name, s.entitlements.mail, s.entitlements.ftp, s.entitlements.web,
                s.quota_bytes, s.plan, ToJson(s.labels), ToJson(s.forward.targets), s.forward.keep_copy,
                std::string(model::StateName(s.state)), std::string(model::StateName(s.state_before_close)),
                s.suspend_reason, s.store_pool, s.password_hash, s.credential_version,
                MicrosecondsOr0(s.delete_time), MicrosecondsOr0(s.expire_time), s.revision);
  write.AddChange(AggregateKind::kSubscriber, std::to_string(s.id));
  return Find(write, std::to_string(s.id));
}

absl::Status SubscriberRepository::AddAddress(WriteTransaction& write, const Subscriber& subscriber,
                                              const std::string& address, const std::string& domain) {
  if (write.Execute(kAddAddress, address, domain, subscriber.id).affected_rows() == 1)
    return absl::OkStatus();
  return AddressTaken("address", "ADDRESS_TAKEN", address);
}

absl::Status SubscriberRepository::RemoveAddress(WriteTransaction& write, const Subscriber& subscriber,
                                                 const std::string& address) {
  if (write.Execute(kRemoveAddress, address, subscriber.id).affected_rows() == 1) return absl::OkStatus();
  return FieldError(absl::StatusCode::kNotFound, "address", "ADDRESS_UNKNOWN",
                    fmt::format("{} is not an address of {}", address, subscriber.login));
}

absl::Status SubscriberRepository::ReserveAddresses(WriteTransaction& write, const Subscriber& subscriber,
                                                    int days) {
  write.Execute(kReserveAddresses, subscriber.id, days);
  return absl::OkStatus();
}

SubscriberRepository::Placement SubscriberRepository::PlacementOf(WriteTransaction& write,
                                                                  const std::string& domain) {
  const pqxx::result rows = write.Execute({"placement_of_mailbox", SelectPlacement().c_str()}, domain);
  Placement placement{!rows[0][0].is_null(), rows[0][0].as<std::string>(""), {}};
  for (const auto& row : rows) {
    if (!row["id"].is_null()) placement.store_pools.push_back(PoolOf(row));
  }
  return placement;
}

}  // namespace prov::store
