#include "server/store/audit_rows.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>

#include "server/store/rows.h"

namespace prov::store {

std::string AuditJson(const std::vector<AuditRecord>& records) {
  auto list = nlohmann::json::array();
  for (const AuditRecord& record : records) {
    list.push_back({{"id", record.id},
                    {"time", ToMicroseconds(record.time)},
                    {"caller", record.caller},
                    {"peer", record.peer},
                    {"method", record.method},
                    {"resource", record.resource},
                    {"request_id", record.request_id},
                    {"revision", record.revision},
                    {"code", record.code},
                    {"before", record.before_json},
                    {"after", record.after_json},
                    {"hash", HexOf(record.hash)}});
  }
  return list.dump();
}

AuditRecord AuditRecordOf(const pqxx::row& row) {
  AuditRecord record;
  record.id = row["id"].as<uint64_t>();
  record.time = model::Time(std::chrono::microseconds(row["time_us"].as<int64_t>()));
  record.caller = row["caller"].as<std::string>();
  record.peer = row["peer"].as<std::string>();
  record.method = row["method"].as<std::string>();
  record.resource = row["resource"].as<std::string>();
  record.request_id = row["request_id"].as<std::string>();
  record.revision = row["revision"].as<uint64_t>();
  record.code = row["code"].as<int>();
  record.before_json = row["before"].as<std::string>();
  record.after_json = row["after"].as<std::string>();
  record.hash = pqxx::binarystring(row["hash"]).str();
  return record;
}

}  // namespace prov::store
