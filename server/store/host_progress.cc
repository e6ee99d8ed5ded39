#include "server/store/host_progress.h"

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <stdexcept>

#include "common/status.h"
#include "server/store/fleet_repository.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

constexpr char kUpsert[] = R"(
INSERT INTO prov.host_progress (host, role, connected, received_revision, applied_revision, failing_items, failing,
                                agent_version, inspection, sessions, ready, last_seen)
SELECT $1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9::jsonb, $10, $11, now() WHERE EXISTS (SELECT 1 FROM prov.host WHERE id = $1)
ON CONFLICT (host, role) DO UPDATE SET connected = excluded.connected, received_revision = excluded.received_revision,
  applied_revision = excluded.applied_revision, failing_items = excluded.failing_items, failing = excluded.failing,
  agent_version = excluded.agent_version, last_seen = excluded.last_seen,
  inspection = COALESCE(excluded.inspection, host_progress.inspection), sessions = excluded.sessions,
  ready = excluded.ready)";

constexpr char kTouch[] = R"(
UPDATE prov.host_progress p SET last_seen = now(), connected = true
FROM jsonb_to_recordset($1::jsonb) AS c(host text, role text) WHERE p.host = c.host AND p.role = c.role)";

constexpr char kSelect[] = R"(
SELECT host, role, connected AND last_seen > now() - make_interval(secs => $2) AS connected, received_revision,
       applied_revision, failing_items, failing, agent_version, inspection, sessions, ready, (date_part('epoch', last_seen) * 1e6)::bigint AS seen_us
FROM prov.host_progress WHERE $1 = '' OR host = $1 ORDER BY host, role)";

std::string FailingJson(const std::vector<FailingItem>& failing) {
  auto list = nlohmann::json::array();
  for (const FailingItem& item : failing) {
    nlohmann::json json = {
        {"key", item.key}, {"revision", item.revision}, {"error", item.error}, {"attempts", item.attempts}};
    if (item.retry_in) json["retry_in"] = item.retry_in->count();
    list.push_back(std::move(json));
  }
  // An agent's error text may hold any octets.
  return list.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

int64_t MicrosecondsOf(model::Time time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
model::Time TimeOf(const nlohmann::json& microseconds) {
  return model::Time(std::chrono::microseconds(microseconds.get<int64_t>()));
}

std::optional<std::string> InspectionJson(const std::optional<Inspection>& inspection) {
  if (!inspection) return std::nullopt;
  auto drifts = nlohmann::json::array();
  for (const Drift& drift : inspection->drifts) {
    drifts.push_back({{"key", drift.key}, {"driver", drift.driver}, {"difference", drift.difference}});
  }
  nlohmann::json json = {{"number", inspection->number},
                         {"repair", inspection->repair},
                         {"begin_us", MicrosecondsOf(inspection->begin)},
                         {"inspected", inspection->inspected_records},
                         {"all", inspection->all_records},
                         {"drifting", inspection->drifting},
                         {"drifts", std::move(drifts)},
                         {"failed", inspection->failed_records},
                         {"error", inspection->error},
                         {"held", inspection->held}};
  if (inspection->end) json["end_us"] = MicrosecondsOf(*inspection->end);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Inspection InspectionOf(const nlohmann::json& json) {
  Inspection inspection{.number = json.at("number"),
                        .repair = json.at("repair"),
                        .begin = TimeOf(json.at("begin_us")),
                        .inspected_records = json.at("inspected"),
                        .all_records = json.at("all"),
                        .drifting = json.at("drifting"),
                        .failed_records = json.at("failed"),
                        .error = json.at("error"),
                        .held = json.at("held")};
  if (json.contains("end_us")) inspection.end = TimeOf(json.at("end_us"));
  for (const auto& drift : json.at("drifts")) {
    inspection.drifts.push_back({drift.at("key"), drift.at("driver"), drift.at("difference")});
  }
  return inspection;
}

HostProgress ProgressOf(const pqxx::row& row) {
  HostProgress progress;
  progress.host = row["host"].as<std::string>();
  const auto role = model::RoleOfName(row["role"].as<std::string>());
  if (!role) throw std::runtime_error("unknown role in host_progress");
  progress.role = *role;
  progress.connected = row["connected"].as<bool>();
  progress.received_revision = row["received_revision"].as<uint64_t>();
  progress.applied_revision = row["applied_revision"].as<uint64_t>();
  progress.failing_items = row["failing_items"].as<uint64_t>();
  for (const auto& json : nlohmann::json::parse(row["failing"].c_str())) {
    FailingItem item{.key = json.at("key"), .revision = json.at("revision"), .error = json.at("error")};
    item.attempts = json.value("attempts", uint64_t{0});  // not there in what a provd before 0009 wrote
    if (json.contains("retry_in")) item.retry_in = std::chrono::seconds(json.at("retry_in").get<int64_t>());
    progress.failing.push_back(std::move(item));
  }
  progress.agent_version = row["agent_version"].as<std::string>();
  if (!row["inspection"].is_null()) {
    progress.inspection = InspectionOf(nlohmann::json::parse(row["inspection"].c_str()));
  }
  if (!row["sessions"].is_null()) progress.sessions = row["sessions"].as<uint64_t>();
  if (!row["ready"].is_null()) progress.ready = row["ready"].as<bool>();
  progress.last_seen = model::Time(std::chrono::microseconds(row["seen_us"].as<int64_t>()));
  return progress;
}

}  // namespace

absl::Status HostProgressRepository::Record(const HostProgress& progress) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("record an agent's progress", [&]() -> absl::Status {
    pqxx::work work(*lease);
    work.exec_params(kUpsert, progress.host, std::string(model::RoleName(progress.role)), progress.connected,
                     progress.received_revision, progress.applied_revision, progress.failing_items,
                     FailingJson(progress.failing), progress.agent_version,
                     InspectionJson(progress.inspection), progress.sessions, progress.ready);
    work.commit();
    return absl::OkStatus();
  });
}

absl::Status HostProgressRepository::Touch(
    const std::vector<std::pair<std::string, model::Role>>& connected) {
  if (connected.empty()) return absl::OkStatus();
  auto list = nlohmann::json::array();
  for (const auto& [host, role] : connected)
    list.push_back({{"host", host}, {"role", std::string(model::RoleName(role))}});
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("keep agents' progress fresh", [&]() -> absl::Status {
    pqxx::work work(*lease);
    work.exec_params(kTouch, list.dump());
    work.commit();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<HostProgress>> HostProgressRepository::All() { return Read(""); }

absl::StatusOr<std::vector<HostProgress>> HostProgressRepository::ForHost(const std::string& host) {
  return Read(host);
}

absl::StatusOr<std::vector<HostProgress>> HostProgressRepository::Read(const std::string& host) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("read agents' progress", [&]() -> absl::StatusOr<std::vector<HostProgress>> {
    pqxx::read_transaction read(*lease);
    std::vector<HostProgress> all;
    const pqxx::result rows = read.exec_params(kSelect, host, kLongestUnheard.count());
    for (const auto& row : rows) all.push_back(ProgressOf(row));
    return all;
  });
}

absl::Status HostProgressRepository::SetEndpoints(const std::string& host,
                                                  const std::map<std::string, std::string>& endpoints) {
  FleetRepository fleet(pool_);
  PROV_ASSIGN_OR_RETURN(const model::Host before, fleet.GetHost(host));
  std::map<std::string, std::string> merged = endpoints;
  merged.insert(before.endpoints.begin(), before.endpoints.end());
  if (merged == before.endpoints) return absl::OkStatus();
  WriteContext context;
  context.caller = "agent/" + host;
  context.method = "/prov.v1.AgentSync/Sync";
  return writes_
      .Run(context,
           [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
             PROV_ASSIGN_OR_RETURN(const model::Host now, FleetRepository::FindHost(write, host));
             std::map<std::string, std::string> wanted = endpoints;
             wanted.insert(now.endpoints.begin(), now.endpoints.end());
             PROV_RETURN_IF_ERROR(FleetRepository::SetEndpoints(write, host, wanted).status());
             return WriteResult{.audit = {{"hosts/" + host, ToJson(now.endpoints), ToJson(wanted)}}};
           })
      .status();
}

}  // namespace prov::store
