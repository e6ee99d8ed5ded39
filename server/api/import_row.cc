#include "server/api/import_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "common/status.h"
#include "server/api/resource_names.h"
#include "server/api/subscriber_update.h"
#include "server/api/translation.h"
#include "server/model/password.h"
#include "server/model/validate.h"
#include "server/model/web_names.h"

namespace prov::api {
namespace {

using model::State;
using model::Subscriber;

constexpr size_t kMaxFields = 64;
constexpr std::string_view kLabelPrefix = "labels.";

// What a row may speak of besides labels by key.
constexpr std::string_view kFields[] = {
    "display_name",     "quota_bytes",      "plan",      "labels",  "entitlements", "entitlements.mail",
    "entitlements.ftp", "entitlements.web", "addresses", "forward", "state",        "store_pool",
    "web_names"};

bool IsField(std::string_view path) {
  if (path.starts_with(kLabelPrefix)) return path.size() > kLabelPrefix.size();
  return std::find(std::begin(kFields), std::end(kFields), path) != std::end(kFields);
}

absl::StatusOr<std::set<std::string>> FieldsOf(const v1::ImportRow& row) {
  std::set<std::string> fields;
  const v1::Subscriber& s = row.subscriber();
  if (row.fields().paths().empty()) {
    const auto add = [&](const char* path, bool set) {
      if (set) fields.insert(path);
    };
    add("display_name", !s.display_name().empty());
    add("quota_bytes", s.quota_bytes() != 0);
    add("plan", !s.plan().empty());
    add("labels", s.labels_size() > 0);
    add("entitlements", s.has_entitlements());
    add("addresses", s.addresses_size() > 0);
    add("forward", s.has_forward());
    add("state", s.state() != v1::Subscriber::STATE_UNSPECIFIED);
    add("store_pool", !s.store_pool().empty());
    add("web_names", s.web_names_size() > 0);
    return fields;
  }
  if (static_cast<size_t>(row.fields().paths_size()) > kMaxFields) {
    return InvalidField("fields", fmt::format("names more than {} fields", kMaxFields));
  }
  for (const std::string& path : row.fields().paths()) {
    if (!IsField(path)) {
      return InvalidField("fields",
                          fmt::format("{} is not a field that an import may set; there are {} and labels.KEY",
                                      model::Echo(path), fmt::join(kFields, ", ")));
    }
    fields.insert(path);
  }
  return fields;
}

absl::Status ParseAddresses(const v1::Subscriber& proto, ImportedRow& row) {
  std::set<std::string> others;
  for (int i = 0; i < proto.addresses_size(); ++i) {
    PROV_ASSIGN_OR_RETURN(const MailAddress address,
                          model::CheckAddress(fmt::format("addresses[{}]", i), proto.addresses(i)));
    if (address.ToString() != row.login) others.insert(address.ToString());
  }
  if (others.size() + 1 > model::kMaxAddresses) {
    return InvalidField("addresses", fmt::format("are more than {}", model::kMaxAddresses));
  }
  row.values.addresses = {row.login};
  row.values.addresses.insert(row.values.addresses.end(), others.begin(), others.end());
  return absl::OkStatus();
}

absl::Status ParseState(const v1::Subscriber& proto, Subscriber& values) {
  switch (proto.state()) {
    case v1::Subscriber::ACTIVE:
      values.state = State::kActive;
      break;
    case v1::Subscriber::SUSPENDED:
      values.state = State::kSuspended;
      break;
    case v1::Subscriber::CLOSED:
      values.state = State::kClosed;
      break;
    default:
      return InvalidField("state", "must be ACTIVE, SUSPENDED or CLOSED");
  }
  values.suspend_reason = proto.suspend_reason();
  PROV_RETURN_IF_ERROR(
      model::CheckText("suspend_reason", proto.suspend_reason(), model::kMaxReasonCharacters));
  if (values.state != State::kSuspended && !values.suspend_reason.empty()) {
    return InvalidField("suspend_reason", "belongs to state SUSPENDED alone");
  }
  return absl::OkStatus();
}

void SetState(const ImportedRow& row, const ImportMoment& moment, Subscriber& s) {
  const State wanted = row.values.state;
  if (wanted == State::kClosed) {
    if (s.state == State::kClosed) return;
    s.state_before_close = s.state;
    s.delete_time = moment.now;
    s.expire_time = moment.now + moment.undelete;
  } else {
    s.suspend_reason = row.values.suspend_reason;
    s.delete_time.reset();
    s.expire_time.reset();
  }
  s.state = wanted;
}

void SetLabels(const ImportedRow& row, Subscriber& s) {
  if (row.fields.count("labels")) {
    s.labels = row.values.labels;
    return;
  }
  for (auto it = row.fields.lower_bound(std::string(kLabelPrefix));
       it != row.fields.end() && it->starts_with(kLabelPrefix); ++it) {
    const std::string key = it->substr(kLabelPrefix.size());
    const auto value = row.values.labels.find(key);
    if (value == row.values.labels.end()) {
      s.labels.erase(key);
    } else {
      s.labels[key] = value->second;
    }
  }
}

std::string Joined(const std::vector<std::string>& list) { return fmt::format("{}", fmt::join(list, " ")); }

}  // namespace

absl::StatusOr<ImportedRow> ParseImportRow(const v1::ImportRow& message) {
  const v1::Subscriber& proto = message.subscriber();
  ImportedRow row;
  PROV_ASSIGN_OR_RETURN(const MailAddress login, model::CheckAddress("login", proto.login()));
  row.login = login.ToString();
  PROV_ASSIGN_OR_RETURN(row.fields, FieldsOf(message));
  Subscriber& values = row.values;
  PROV_RETURN_IF_ERROR(
      model::CheckText("display_name", proto.display_name(), model::kMaxDisplayNameCharacters));
  values.display_name = proto.display_name();
  PROV_RETURN_IF_ERROR(model::CheckQuota("quota_bytes", proto.quota_bytes()));
  values.quota_bytes = proto.quota_bytes();
  PROV_RETURN_IF_ERROR(model::CheckPlan("plan", proto.plan()));
  values.plan = proto.plan();
  values.labels = {proto.labels().begin(), proto.labels().end()};
  PROV_RETURN_IF_ERROR(model::CheckLabels("labels", values.labels));
  values.entitlements = {proto.entitlements().mail(), proto.entitlements().ftp(), proto.entitlements().web()};
  PROV_RETURN_IF_ERROR(ParseAddresses(proto, row));
  PROV_ASSIGN_OR_RETURN(values.forward, ForwardOf("forward", proto.forward()));
  values.web_names = {proto.web_names().begin(), proto.web_names().end()};
  PROV_RETURN_IF_ERROR(model::CheckWebNames("web_names", values.web_names));
  if (row.fields.count("state")) PROV_RETURN_IF_ERROR(ParseState(proto, values));
  if (!proto.store_pool().empty()) {
    PROV_ASSIGN_OR_RETURN(values.store_pool, PoolKeyOf("store_pool", proto.store_pool()));
  }
  if (!message.password_hash().empty()) {
    PROV_RETURN_IF_ERROR(model::CheckPasswordHash("password_hash", message.password_hash()));
    row.password_hash = message.password_hash();
  }
  return row;
}

void ApplyImportRow(const ImportedRow& row, const ImportMoment& moment, Subscriber& s) {
  const auto says = [&](const char* field) { return row.fields.count(field) > 0; };
  const Subscriber before = s;
  const Subscriber& values = row.values;
  if (says("display_name")) s.display_name = values.display_name;
  if (says("quota_bytes")) s.quota_bytes = values.quota_bytes;
  if (says("plan")) s.plan = values.plan;
  SetLabels(row, s);
  if (says("entitlements")) s.entitlements = values.entitlements;
  if (says("entitlements.mail")) s.entitlements.mail = values.entitlements.mail;
  if (says("entitlements.ftp")) s.entitlements.ftp = values.entitlements.ftp;
  if (says("entitlements.web")) s.entitlements.web = values.entitlements.web;
  if (says("addresses") || s.addresses.empty()) s.addresses = values.addresses;
  if (says("forward")) s.forward = values.forward;
  if (says("web_names")) s.web_names = values.web_names;
  if (says("store_pool") && s.id == 0) s.store_pool = values.store_pool;
  if (says("state")) SetState(row, moment, s);
  if (!row.password_hash.empty()) s.password_hash = row.password_hash;
  if (s.entitlements != before.entitlements || s.state != before.state ||
      s.password_hash != before.password_hash) {
    s.credential_version = moment.revision;
  }
}

std::vector<v1::FieldChange> DifferencesOf(const Subscriber& before, const Subscriber& after) {
  std::vector<v1::FieldChange> changes;
  const auto compare = [&](const std::string& field, const std::string& was, const std::string& is) {
    if (was == is) return;
    v1::FieldChange& change = changes.emplace_back();
    change.set_field(field);
    change.set_before(was);
    change.set_after(is);
  };
  const auto yes_no = [](bool value) { return std::string(value ? "true" : "false"); };
  compare("display_name", before.display_name, after.display_name);
  compare("addresses", Joined(before.addresses), Joined(after.addresses));
  compare("web_names", Joined(before.web_names), Joined(after.web_names));
  compare("forward.targets", Joined(before.forward.targets), Joined(after.forward.targets));
  compare("forward.keep_copy", yes_no(before.forward.keep_copy), yes_no(after.forward.keep_copy));
  compare("entitlements.mail", yes_no(before.entitlements.mail), yes_no(after.entitlements.mail));
  compare("entitlements.ftp", yes_no(before.entitlements.ftp), yes_no(after.entitlements.ftp));
  compare("entitlements.web", yes_no(before.entitlements.web), yes_no(after.entitlements.web));
  compare("quota_bytes", std::to_string(before.quota_bytes), std::to_string(after.quota_bytes));
  compare("plan", before.plan, after.plan);
  std::map<std::string, std::pair<std::string, std::string>> labels;
  for (const auto& [key, value] : before.labels) labels[key].first = value;
  for (const auto& [key, value] : after.labels) labels[key].second = value;
  for (const auto& [key, values] : labels) compare("labels." + key, values.first, values.second);
  compare("state", std::string(model::StateName(before.state)), std::string(model::StateName(after.state)));
  compare("suspend_reason", before.suspend_reason, after.suspend_reason);
  if (before.password_hash != after.password_hash) changes.emplace_back().set_field("password");
  return changes;
}

}  // namespace prov::api
