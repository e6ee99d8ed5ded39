#include <csv.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/import_format.h"
#include "cli/output.h"
#include "cli/subscriber_input.h"
#include "common/status.h"

namespace prov::cli {
namespace {

using v1::ImportRow;

constexpr std::string_view kLabelColumn = "labels.";

std::vector<std::string> Words(const std::string& cell) {
  std::vector<std::string> words;
  for (size_t at = 0; (at = cell.find_first_not_of(' ', at)) != std::string::npos;) {
    const size_t end = std::min(cell.find(' ', at), cell.size());
    words.push_back(cell.substr(at, end - at));
    at = end;
  }
  return words;
}

absl::Status GetFlag(const std::string& column, const std::string& cell, bool* flag) {
  if (cell != "true" && cell != "false") return InvalidField(column, "must be true or false");
  *flag = cell == "true";
  return absl::OkStatus();
}

using Reader = absl::Status (*)(const std::string& cell, ImportRow& row);

template <std::string* (v1::Subscriber::*mutable_text)()>
absl::Status ReadText(const char* field, const std::string& cell, ImportRow& row) {
  row.mutable_fields()->add_paths(field);
  *(row.mutable_subscriber()->*mutable_text)() = cell;
  return absl::OkStatus();
}

absl::Status ReadEntitlement(const char* name, void (v1::Entitlements::*set)(bool), const std::string& cell,
                             ImportRow& row) {
  if (cell.empty()) return absl::OkStatus();
  bool allowed = false;
  PROV_RETURN_IF_ERROR(GetFlag(name, cell, &allowed));
  (row.mutable_subscriber()->mutable_entitlements()->*set)(allowed);
  row.mutable_fields()->add_paths(std::string("entitlements.") + name);
  return absl::OkStatus();
}

absl::Status ReadQuota(const std::string& cell, ImportRow& row) {
  if (cell.empty()) return absl::OkStatus();
  int64_t octets = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), octets);
  if (error != std::errc() || end != cell.data() + cell.size()) {
    return InvalidField("quota_bytes", "must be a whole number of octets");
  }
  row.mutable_subscriber()->set_quota_bytes(octets);
  row.mutable_fields()->add_paths("quota_bytes");
  return absl::OkStatus();
}

absl::Status ReadState(const std::string& cell, ImportRow& row) {
  if (cell.empty()) return absl::OkStatus();
  v1::Subscriber::State state = v1::Subscriber::STATE_UNSPECIFIED;
  if (!v1::Subscriber::State_Parse(cell, &state)) {
    return InvalidField("state", "must be ACTIVE, SUSPENDED or CLOSED");
  }
  row.mutable_subscriber()->set_state(state);
  row.mutable_fields()->add_paths("state");
  return absl::OkStatus();
}

absl::Status ReadLabels(const std::string& cell, ImportRow& row) {
  const auto object = nlohmann::json::parse(cell.empty() ? "{}" : cell, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return InvalidField("labels", "must be a JSON object, such as {\"crm\":\"4711\"}");
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) return InvalidField("labels." + Safe(key), "must be a string");
    (*row.mutable_subscriber()->mutable_labels())[key] = value.get<std::string>();
  }
  row.mutable_fields()->add_paths("labels");
  return absl::OkStatus();
}

absl::Status ReadAddresses(const std::string& cell, ImportRow& row) {
  for (const std::string& address : Words(cell)) row.mutable_subscriber()->add_addresses(address);
  row.mutable_fields()->add_paths("addresses");
  return absl::OkStatus();
}

absl::Status ReadWebNames(const std::string& cell, ImportRow& row) {
  for (const std::string& name : Words(cell)) row.mutable_subscriber()->add_web_names(name);
  row.mutable_fields()->add_paths("web_names");
  return absl::OkStatus();
}

absl::Status ReadForward(const std::string& cell, ImportRow& row) {
  for (const std::string& target : Words(cell))
    row.mutable_subscriber()->mutable_forward()->add_targets(target);
  row.mutable_fields()->add_paths("forward");
  return absl::OkStatus();
}

absl::Status ReadKeepCopy(const std::string& cell, ImportRow& row) {
  if (cell.empty()) return absl::OkStatus();
  bool keep = false;
  PROV_RETURN_IF_ERROR(GetFlag("forward_keep_copy", cell, &keep));
  row.mutable_subscriber()->mutable_forward()->set_keep_copy(keep);
  return absl::OkStatus();
}

const std::map<std::string, Reader, std::less<>>& Readers() {
  static const std::map<std::string, Reader, std::less<>> readers = {
      {"login",
       [](const std::string& cell, ImportRow& row) {
         row.mutable_subscriber()->set_login(cell);
         return absl::OkStatus();
       }},
      {"display_name",
       [](const std::string& cell, ImportRow& row) {
         return ReadText<&v1::Subscriber::mutable_display_name>("display_name", cell, row);
       }},
      {"plan", [](const std::string& cell,
                  ImportRow& row) { return ReadText<&v1::Subscriber::mutable_plan>("plan", cell, row); }},
      {"store_pool",
       [](const std::string& cell, ImportRow& row) {
         return cell.empty() ? absl::OkStatus()
                             : ReadText<&v1::Subscriber::mutable_store_pool>("store_pool", cell, row);
       }},
      {"suspend_reason",
       [](const std::string& cell, ImportRow& row) {
         row.mutable_subscriber()->set_suspend_reason(cell);
         return absl::OkStatus();
       }},
      {"password_hash",
       [](const std::string& cell, ImportRow& row) {
         row.set_password_hash(cell);
         return absl::OkStatus();
       }},
      {"mail",
       [](const std::string& cell, ImportRow& row) {
         return ReadEntitlement("mail", &v1::Entitlements::set_mail, cell, row);
       }},
      {"ftp", [](const std::string& cell,
                 ImportRow& row) { return ReadEntitlement("ftp", &v1::Entitlements::set_ftp, cell, row); }},
      {"web", [](const std::string& cell,
                 ImportRow& row) { return ReadEntitlement("web", &v1::Entitlements::set_web, cell, row); }},
      {"addresses", &ReadAddresses},
      {"web_names", &ReadWebNames},
      {"forward", &ReadForward},
      {"forward_keep_copy", &ReadKeepCopy},
      {"quota_bytes", &ReadQuota},
      {"labels", &ReadLabels},
      {"state", &ReadState},
      {"_error", [](const std::string&, ImportRow&) { return absl::OkStatus(); }},
  };
  return readers;
}

absl::Status ReadLabel(const std::string& column, const std::string& cell, ImportRow& row) {
  row.mutable_fields()->add_paths(column);
  if (!cell.empty()) {
    (*row.mutable_subscriber()->mutable_labels())[column.substr(kLabelColumn.size())] = cell;
  }
  return absl::OkStatus();
}

bool IsLabelColumn(const std::string& column) {
  return column.size() > kLabelColumn.size() && column.starts_with(kLabelColumn);
}

}  // namespace

absl::Status CheckCsvHeader(const std::vector<std::string>& header) {
  std::set<std::string> seen;
  for (const std::string& column : header) {
    if (!IsLabelColumn(column) && Readers().find(column) == Readers().end()) {
      return InvalidField("header", fmt::format("the column \"{}\" is not known; there are {} and labels.KEY",
                                                Safe(column.substr(0, 60)), fmt::join(CsvHeader(), ", ")));
    }
    if (!seen.insert(column).second) {
      return InvalidField("header", fmt::format("the column {} is there twice", Safe(column)));
    }
  }
  if (!seen.count("login"))
    return InvalidField("header", "the first line names the columns; login must be one");
  if (seen.count("forward_keep_copy") && !seen.count("forward")) {
    return InvalidField("header", "forward_keep_copy needs the column forward");
  }
  return absl::OkStatus();
}

absl::StatusOr<ImportRow> RowOfCells(const std::vector<std::string>& header,
                                     const std::vector<std::string>& cells) {
  if (cells.size() != header.size()) {
    return InvalidField("row", fmt::format("has {} cells, and the header {}", cells.size(), header.size()));
  }
  ImportRow row;
  for (size_t i = 0; i < header.size(); ++i) {
    PROV_RETURN_IF_ERROR(CheckUtf8(header[i], cells[i]));
    PROV_RETURN_IF_ERROR(IsLabelColumn(header[i]) ? ReadLabel(header[i], cells[i], row)
                                                  : Readers().find(header[i])->second(cells[i], row));
  }
  return row;
}

const std::vector<std::string>& CsvHeader() {
  static const std::vector<std::string> header = {"login",
                                                  "display_name",
                                                  "addresses",
                                                  "forward",
                                                  "forward_keep_copy",
                                                  "mail",
                                                  "ftp",
                                                  "web",
                                                  "quota_bytes",
                                                  "plan",
                                                  "labels",
                                                  "state",
                                                  "suspend_reason",
                                                  "store_pool",
                                                  "web_names"};
  return header;
}

std::vector<std::string> CellsOf(const v1::Subscriber& s) {
  const auto flag = [](bool value) { return std::string(value ? "true" : "false"); };
  const nlohmann::json labels = std::map<std::string, std::string>(s.labels().begin(), s.labels().end());
  return {s.login(),
          s.display_name(),
          fmt::format("{}", fmt::join(s.addresses(), " ")),
          fmt::format("{}", fmt::join(s.forward().targets(), " ")),
          flag(s.forward().keep_copy()),
          flag(s.entitlements().mail()),
          flag(s.entitlements().ftp()),
          flag(s.entitlements().web()),
          std::to_string(s.quota_bytes()),
          s.plan(),
          labels.dump(),
          v1::Subscriber::State_Name(s.state()),
          s.suspend_reason(),
          s.store_pool(),
          fmt::format("{}", fmt::join(s.web_names(), " "))};
}

std::string CsvLine(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    // All cells are quoted: nobody has to know which octets would need it.
    std::string quoted(cell.size() * 2 + 2, '\0');
    quoted.resize(csv_write(quoted.data(), quoted.size(), cell.data(), cell.size()));
    if (!line.empty()) line += ',';
    line += quoted;
  }
  return line + "\r\n";
}

}  // namespace prov::cli
