#include "server/store/audit_rows.h"

#include <chrono>
#include <pqxx/pqxx>

#include "server/store/rows.h"

namespace prov::store {

namespace {

// A PostgreSQL array: {"a","b"}, with backslash and quote escaped.
template <typename Value>
std::string ArrayOf(const std::vector<AuditRecord>& records, const Value& value) {
  std::string array = "{";
  for (const AuditRecord& record : records) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : value(record)) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + "}";
}

}  // namespace

std::vector<std::string> AppendParameters(const AuditHead& head, const std::vector<AuditRecord>& records) {
  const auto number = [&](auto value) {
    return ArrayOf(records, [&](const AuditRecord& record) { return std::to_string(value(record)); });
  };
  const auto text = [&](std::string AuditRecord::*field) {
    return ArrayOf(records, [&](const AuditRecord& record) -> const std::string& { return record.*field; });
  };
  return {std::to_string(head.id),
          HexOf(head.hash),
          number([](const AuditRecord& record) { return record.id; }),
          number([](const AuditRecord& record) { return ToMicroseconds(record.time); }),
          text(&AuditRecord::caller),
          text(&AuditRecord::peer),
          text(&AuditRecord::method),
          text(&AuditRecord::resource),
          text(&AuditRecord::request_id),
          number([](const AuditRecord& record) { return record.revision; }),
          number([](const AuditRecord& record) { return record.code; }),
          text(&AuditRecord::before_json),
          text(&AuditRecord::after_json),
          ArrayOf(records, [](const AuditRecord& record) { return HexOf(record.hash); })};
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
