#include "server/store/web_name_repository.h"

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <set>

#include "server/store/rows.h"

namespace prov::store {
namespace {

constexpr Statement kRemove = {"remove_web_names", R"(
DELETE FROM prov.web_name w USING jsonb_to_recordset($1::jsonb) AS r(name text, id bigint)
WHERE w.name = r.name AND w.subscriber_id = r.id)"};

constexpr Statement kAdd = {"add_web_names", R"(
INSERT INTO prov.web_name (name, subscriber_id)
SELECT name, id FROM jsonb_to_recordset($1::jsonb) AS r(name text, id bigint)
ON CONFLICT (name) DO UPDATE SET subscriber_id = excluded.subscriber_id, reserved_until = NULL
  WHERE prov.web_name.reserved_until < now()
RETURNING name)"};

constexpr Statement kOwners = {"web_name_owners", R"(
SELECT w.name, COALESCE(w.subscriber_id, 0)
FROM jsonb_array_elements_text($1::jsonb) AS wanted(name) JOIN prov.web_name w ON w.name = wanted.name
WHERE w.reserved_until IS NULL OR w.reserved_until >= now())"};

constexpr Statement kReserve = {
    "reserve_web_names",
    "UPDATE prov.web_name SET subscriber_id = NULL, reserved_until = now() + make_interval(days => $2::int) "
    "WHERE subscriber_id = $1"};

constexpr Statement kHosted = {"hosted_domains_among", R"(
SELECT d.name FROM jsonb_array_elements_text($1::jsonb) AS wanted(name) JOIN prov.domain d ON d.name = wanted.name)"};

}  // namespace

absl::StatusOr<std::vector<std::string>> WebNameRepository::Change(WriteTransaction& write,
                                                                   const std::vector<Edit>& edits) {
  auto added = nlohmann::json::array(), removed = nlohmann::json::array();
  for (const Edit& edit : edits) {
    for (const std::string& name : edit.added) added.push_back({{"name", name}, {"id", edit.subscriber_id}});
    for (const std::string& name : edit.removed)
      removed.push_back({{"name", name}, {"id", edit.subscriber_id}});
  }
  if (!removed.empty()) write.Execute(kRemove, removed.dump());
  std::vector<std::string> refused;
  if (added.empty()) return refused;
  std::set<std::string> given;
  for (const auto& row : write.Execute(kAdd, added.dump())) given.insert(row[0].as<std::string>());
  for (const Edit& edit : edits) {
    for (const std::string& name : edit.added) {
      if (!given.contains(name)) refused.push_back(name);
    }
  }
  return refused;
}

absl::StatusOr<std::map<std::string, int64_t>> WebNameRepository::Owners(
    WriteTransaction& write, const std::vector<std::string>& names) {
  std::map<std::string, int64_t> owners;
  if (names.empty()) return owners;
  for (const auto& row : write.Execute(kOwners, ToJson(names))) {
    owners.emplace(row[0].as<std::string>(), row[1].as<int64_t>());
  }
  return owners;
}

absl::Status WebNameRepository::Reserve(WriteTransaction& write, int64_t subscriber_id, int days) {
  write.Execute(kReserve, subscriber_id, days);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> WebNameRepository::Hosted(WriteTransaction& write,
                                                                   const std::vector<std::string>& domains) {
  std::vector<std::string> hosted;
  for (const auto& row : write.Execute(kHosted, ToJson(domains))) hosted.push_back(row[0].as<std::string>());
  return hosted;
}

}  // namespace prov::store
