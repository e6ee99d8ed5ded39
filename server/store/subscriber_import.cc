#include "server/store/subscriber_import.h"

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <unordered_map>

#include "server/store/rows.h"

namespace prov::store {
namespace {

using model::Subscriber;

const std::string& SelectByLogins() {
  static const std::string sql =
      "SELECT " + std::string(kSubscriberColumns) +
      " FROM jsonb_array_elements_text($1::jsonb) AS wanted(login), prov.subscriber s JOIN prov.domain d ON "
      "d.name = s.domain WHERE s.login = wanted.login AND s.state <> 'purged'";
  return sql;
}

constexpr Statement kAddressOwners = {"import_address_owners", R"(
SELECT a.address, COALESCE(a.subscriber_id, 0)
FROM jsonb_array_elements_text($1::jsonb) AS wanted(address) JOIN prov.address a ON a.address = wanted.address
WHERE a.reserved_until IS NULL OR a.reserved_until >= now())"};

constexpr Statement kDomains = {"import_domains", R"(
SELECT d.name, d.suspended_mail
FROM jsonb_array_elements_text($1::jsonb) AS wanted(name) JOIN prov.domain d ON d.name = wanted.name)"};

// The fields of a subscriber that a write may set, as columns of the JSON rows below.
#define PROV_IMPORT_COLUMNS                                                                                  \
  "display_name text, mail boolean, ftp boolean, web boolean, quota_bytes bigint, plan text, labels jsonb, " \
  "forward_targets jsonb, forward_keep_copy boolean, state text, state_before_close text, "                  \
  "suspend_reason text, store_pool text, password_hash text, delete_us bigint, expire_us bigint"

constexpr Statement kInsert = {"import_insert", R"(
INSERT INTO prov.subscriber (login, domain, display_name, mail, ftp, web, quota_bytes, plan, labels, forward_targets,
  forward_keep_copy, state, state_before_close, suspend_reason, store_pool, password_hash, delete_time, expire_time,
  credential_version, revision)
SELECT login, domain, display_name, mail, ftp, web, quota_bytes, plan, labels, forward_targets,
  forward_keep_copy, state, state_before_close, suspend_reason, store_pool, password_hash,
  to_timestamp(NULLIF(delete_us, 0) / 1e6), to_timestamp(NULLIF(expire_us, 0) / 1e6), $2, $2
FROM jsonb_to_recordset($1::jsonb) AS r(login text, domain text, )" PROV_IMPORT_COLUMNS R"()
RETURNING login, id, uid, uid_number, (date_part('epoch', create_time) * 1e6)::bigint)"};

constexpr Statement kSave = {"import_save", R"(
UPDATE prov.subscriber s SET display_name = r.display_name, mail = r.mail, ftp = r.ftp, web = r.web,
  quota_bytes = r.quota_bytes, plan = r.plan, labels = r.labels, forward_targets = r.forward_targets,
  forward_keep_copy = r.forward_keep_copy, state = r.state, state_before_close = r.state_before_close,
  suspend_reason = r.suspend_reason, store_pool = r.store_pool, password_hash = r.password_hash,
  delete_time = to_timestamp(NULLIF(r.delete_us, 0) / 1e6), expire_time = to_timestamp(NULLIF(r.expire_us, 0) / 1e6),
  credential_version = r.credential_version, update_time = now(), revision = $2
FROM jsonb_to_recordset($1::jsonb) AS r(id bigint, credential_version bigint, )" PROV_IMPORT_COLUMNS R"()
WHERE s.id = r.id)"};

#undef PROV_IMPORT_COLUMNS

constexpr Statement kAddAddresses = {"import_add_addresses", R"(
INSERT INTO prov.address (address, domain, subscriber_id)
SELECT address, domain, id FROM jsonb_to_recordset($1::jsonb) AS r(address text, domain text, id bigint)
ON CONFLICT (address) DO UPDATE SET subscriber_id = excluded.subscriber_id, reserved_until = NULL
  WHERE prov.address.reserved_until < now())"};

constexpr Statement kRemoveAddresses = {"import_remove_addresses", R"(
DELETE FROM prov.address a USING jsonb_to_recordset($1::jsonb) AS r(address text, id bigint)
WHERE a.address = r.address AND a.subscriber_id = r.id)"};

std::string DomainPart(const std::string& address) { return address.substr(address.rfind('@') + 1); }

int64_t MicrosecondsOr0(const std::optional<model::Time>& time) { return time ? ToMicroseconds(*time) : 0; }

nlohmann::json Fields(const Subscriber& s) {
  return {{"display_name", s.display_name},
          {"mail", s.entitlements.mail},
          {"ftp", s.entitlements.ftp},
          {"web", s.entitlements.web},
          {"quota_bytes", s.quota_bytes},
          {"plan", s.plan},
          {"labels", s.labels},
          {"forward_targets", s.forward.targets},
          {"forward_keep_copy", s.forward.keep_copy},
          {"state", std::string(model::StateName(s.state))},
          {"state_before_close", std::string(model::StateName(s.state_before_close))},
          {"suspend_reason", s.suspend_reason},
          {"store_pool", s.store_pool},
          {"password_hash", s.password_hash},
          {"delete_us", MicrosecondsOr0(s.delete_time)},
          {"expire_us", MicrosecondsOr0(s.expire_time)}};
}

// Statements are given in a fixed number of round trips, so none is sent for nothing.
absl::Status AddAddresses(WriteTransaction& write, const nlohmann::json& rows) {
  if (rows.empty()) return absl::OkStatus();
  const size_t added = write.Execute(kAddAddresses, rows.dump()).affected_rows();
  if (added == rows.size()) return absl::OkStatus();
  return absl::InternalError("an address was taken although it was free");
}

}  // namespace

absl::StatusOr<std::map<std::string, Subscriber>> SubscriberImport::FindByLogin(
    WriteTransaction& write, const std::vector<std::string>& logins) {
  std::map<std::string, Subscriber> found;
  for (const auto& row :
       write.Execute({"import_find_by_login", SelectByLogins().c_str()}, nlohmann::json(logins).dump())) {
    Subscriber subscriber = SubscriberOf(row);
    std::string login = subscriber.login;
    found.emplace(std::move(login), std::move(subscriber));
  }
  return found;
}

absl::StatusOr<std::map<std::string, int64_t>> SubscriberImport::AddressOwners(
    WriteTransaction& write, const std::vector<std::string>& addresses) {
  std::map<std::string, int64_t> owners;
  if (addresses.empty()) return owners;
  for (const auto& row : write.Execute(kAddressOwners, nlohmann::json(addresses).dump())) {
    owners.emplace(row[0].as<std::string>(), row[1].as<int64_t>());
  }
  return owners;
}

absl::StatusOr<std::map<std::string, model::SuspendedMail>> SubscriberImport::HostedDomains(
    WriteTransaction& write, const std::vector<std::string>& domains) {
  std::map<std::string, model::SuspendedMail> hosted;
  for (const auto& row : write.Execute(kDomains, nlohmann::json(domains).dump())) {
    hosted.emplace(row[0].as<std::string>(), SuspendedMailOfName(row[1].as<std::string>()));
  }
  return hosted;
}

absl::StatusOr<std::vector<model::Pool>> SubscriberImport::StorePools(WriteTransaction& write) {
  static const std::string sql =
      "SELECT " + std::string(kPoolColumns) + " FROM prov.pool WHERE role = 'store' ORDER BY id";
  std::vector<model::Pool> pools;
  for (const auto& row : write.Execute({"import_store_pools", sql.c_str()})) pools.push_back(PoolOf(row));
  return pools;
}

absl::Status SubscriberImport::Insert(WriteTransaction& write, const std::vector<Subscriber*>& subscribers) {
  if (subscribers.empty()) return absl::OkStatus();
  auto rows = nlohmann::json::array();
  std::unordered_map<std::string, Subscriber*> by_login;
  for (Subscriber* subscriber : subscribers) {
    nlohmann::json row = Fields(*subscriber);
    row["login"] = subscriber->login;
    row["domain"] = DomainPart(subscriber->login);
    rows.push_back(std::move(row));
    by_login.emplace(subscriber->login, subscriber);
  }
  auto addresses = nlohmann::json::array();
  for (const auto& row : write.Execute(kInsert, rows.dump(), write.revision())) {
    Subscriber& subscriber = *by_login.at(row[0].as<std::string>());
    subscriber.id = row[1].as<int64_t>();
    subscriber.uid = row[2].as<std::string>();
    subscriber.uid_number = row[3].as<uint32_t>();
    subscriber.create_time = subscriber.update_time =
        model::Time(std::chrono::microseconds(row[4].as<int64_t>()));
    subscriber.credential_version = subscriber.revision = write.revision();
    for (const std::string& address : subscriber.addresses) {
      addresses.push_back({{"address", address}, {"domain", DomainPart(address)}, {"id", subscriber.id}});
    }
    write.AddChange(AggregateKind::kSubscriber, std::to_string(subscriber.id));
  }
  return AddAddresses(write, addresses);
}

absl::Status SubscriberImport::Save(WriteTransaction& write, const std::vector<Edit>& edits) {
  if (edits.empty()) return absl::OkStatus();
  auto rows = nlohmann::json::array(), added = nlohmann::json::array(), removed = nlohmann::json::array();
  for (const Edit& edit : edits) {
    Subscriber& subscriber = *edit.subscriber;
    subscriber.revision = write.revision();
    nlohmann::json row = Fields(subscriber);
    row["id"] = subscriber.id;
    row["credential_version"] = subscriber.credential_version;
    rows.push_back(std::move(row));
    for (const std::string& address : edit.added) {
      added.push_back({{"address", address}, {"domain", DomainPart(address)}, {"id", subscriber.id}});
    }
    for (const std::string& address : edit.removed) {
      removed.push_back({{"address", address}, {"id", subscriber.id}});
    }
    write.AddChange(AggregateKind::kSubscriber, std::to_string(subscriber.id));
  }
  write.Execute(kSave, rows.dump(), write.revision());
  if (!removed.empty()) write.Execute(kRemoveAddresses, removed.dump());
  return AddAddresses(write, added);
}

}  // namespace prov::store
