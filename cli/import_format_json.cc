#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cli/import_format.h"
#include "cli/output.h"
#include "common/status.h"

namespace prov::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using v1::ImportRow;

constexpr int kDeepest = 4;

absl::Status MustBe(std::string_view field, const char* what) {
  return InvalidField(field, std::string("must be ") + what);
}

absl::Status GetText(const std::string& field, const json& value, std::string* text) {
  if (!value.is_string()) return MustBe(field, "a string");
  *text = value.get<std::string>();
  return absl::OkStatus();
}

absl::Status GetFlag(const std::string& field, const json& value, bool* flag) {
  if (!value.is_boolean()) return MustBe(field, "true or false");
  *flag = value.get<bool>();
  return absl::OkStatus();
}

template <typename Strings>
absl::Status GetList(const std::string& field, const json& value, Strings* list) {
  if (!value.is_array()) return MustBe(field, "a list of strings");
  for (const json& item : value) PROV_RETURN_IF_ERROR(GetText(field, item, list->Add()));
  return absl::OkStatus();
}

absl::Status GetEntitlements(const json& value, ImportRow& row) {
  if (!value.is_object()) return MustBe("entitlements", "an object with mail, ftp and web");
  for (const auto& [key, flag] : value.items()) {
    const std::string field = "entitlements." + key;
    bool allowed = false;
    PROV_RETURN_IF_ERROR(GetFlag(field, flag, &allowed));
    auto* entitlements = row.mutable_subscriber()->mutable_entitlements();
    if (key == "mail") {
      entitlements->set_mail(allowed);
    } else if (key == "ftp") {
      entitlements->set_ftp(allowed);
    } else if (key == "web") {
      entitlements->set_web(allowed);
    } else {
      return InvalidField(Safe(field), "is not known; there are mail, ftp and web");
    }
    row.mutable_fields()->add_paths(field);
  }
  return absl::OkStatus();
}

absl::Status GetForward(const json& value, ImportRow& row) {
  if (!value.is_object()) return MustBe("forward", "an object with targets and keep_copy");
  v1::Forward* forward = row.mutable_subscriber()->mutable_forward();
  for (const auto& [key, item] : value.items()) {
    if (key == "targets") {
      PROV_RETURN_IF_ERROR(GetList("forward.targets", item, forward->mutable_targets()));
    } else if (key == "keep_copy") {
      bool keep = false;
      PROV_RETURN_IF_ERROR(GetFlag("forward.keep_copy", item, &keep));
      forward->set_keep_copy(keep);
    } else {
      return InvalidField(Safe("forward." + key), "is not known; there are targets and keep_copy");
    }
  }
  row.mutable_fields()->add_paths("forward");
  return absl::OkStatus();
}

absl::Status GetLabels(const json& value, ImportRow& row) {
  if (!value.is_object()) return MustBe("labels", "an object of strings");
  for (const auto& [key, text] : value.items()) {
    PROV_RETURN_IF_ERROR(
        GetText("labels." + Safe(key), text, &(*row.mutable_subscriber()->mutable_labels())[key]));
  }
  row.mutable_fields()->add_paths("labels");
  return absl::OkStatus();
}

absl::Status GetState(const json& value, ImportRow& row) {
  v1::Subscriber::State state = v1::Subscriber::STATE_UNSPECIFIED;
  if (!value.is_string() || !v1::Subscriber::State_Parse(value.get<std::string>(), &state)) {
    return MustBe("state", "\"ACTIVE\", \"SUSPENDED\" or \"CLOSED\"");
  }
  row.mutable_subscriber()->set_state(state);
  row.mutable_fields()->add_paths("state");
  return absl::OkStatus();
}

using Reader = absl::Status (*)(const json& value, ImportRow& row);

// Of a plain text field that the row speaks of by naming it.
template <std::string* (v1::Subscriber::*mutable_text)()>
absl::Status ReadText(const char* field, const json& value, ImportRow& row) {
  row.mutable_fields()->add_paths(field);
  return GetText(field, value, (row.mutable_subscriber()->*mutable_text)());
}

const std::map<std::string, Reader>& Readers() {
  static const std::map<std::string, Reader> readers = {
      {"login", [](const json& v,
                   ImportRow& r) { return GetText("login", v, r.mutable_subscriber()->mutable_login()); }},
      {"display_name",
       [](const json& v, ImportRow& r) {
         return ReadText<&v1::Subscriber::mutable_display_name>("display_name", v, r);
       }},
      {"plan",
       [](const json& v, ImportRow& r) { return ReadText<&v1::Subscriber::mutable_plan>("plan", v, r); }},
      {"store_pool",
       [](const json& v, ImportRow& r) {
         return ReadText<&v1::Subscriber::mutable_store_pool>("store_pool", v, r);
       }},
      {"suspend_reason",
       [](const json& v, ImportRow& r) {
         return GetText("suspend_reason", v, r.mutable_subscriber()->mutable_suspend_reason());
       }},
      {"password_hash",
       [](const json& v, ImportRow& r) { return GetText("password_hash", v, r.mutable_password_hash()); }},
      {"addresses",
       [](const json& v, ImportRow& r) {
         r.mutable_fields()->add_paths("addresses");
         return GetList("addresses", v, r.mutable_subscriber()->mutable_addresses());
       }},
      {"web_names",
       [](const json& v, ImportRow& r) {
         r.mutable_fields()->add_paths("web_names");
         return GetList("web_names", v, r.mutable_subscriber()->mutable_web_names());
       }},
      {"quota_bytes",
       [](const json& v, ImportRow& r) {
         if (!v.is_number_integer()) return MustBe("quota_bytes", "a whole number of octets");
         r.mutable_subscriber()->set_quota_bytes(v.get<int64_t>());
         r.mutable_fields()->add_paths("quota_bytes");
         return absl::OkStatus();
       }},
      {"entitlements", &GetEntitlements},
      {"forward", &GetForward},
      {"labels", &GetLabels},
      {"state", &GetState},
      {"_error", [](const json&, ImportRow&) { return absl::OkStatus(); }},
  };
  return readers;
}

// Null for what is no JSON object, or one that nests so deep that to write it again would end the stack.
template <typename Json>
Json ParseObject(std::string_view line) {
  bool too_deep = false;
  const auto look = [&](int depth, typename Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kDeepest;
    return true;
  };
  Json object = Json::parse(line, look, /*allow_exceptions=*/false);
  return object.is_object() && !too_deep ? object : Json();
}

}  // namespace

absl::StatusOr<ImportRow> RowOfJson(std::string_view line) {
  const json object = ParseObject<json>(line);
  if (object.is_null()) return InvalidField("row", "is not a JSON object on one line");
  ImportRow row;
  for (const auto& [key, value] : object.items()) {
    const auto reader = Readers().find(key);
    if (reader == Readers().end()) {
      return InvalidField(Safe(key.substr(0, 60)), "is not a field of an import; see provctl-import(5)");
    }
    if (!value.is_null()) PROV_RETURN_IF_ERROR(reader->second(value, row));
  }
  return row;
}

std::string JsonOf(const v1::Subscriber& s) {
  ordered_json object;
  object["login"] = s.login();
  object["display_name"] = s.display_name();
  object["addresses"] = std::vector<std::string>(s.addresses().begin(), s.addresses().end());
  object["forward"]["targets"] =
      std::vector<std::string>(s.forward().targets().begin(), s.forward().targets().end());
  object["forward"]["keep_copy"] = s.forward().keep_copy();
  object["entitlements"]["mail"] = s.entitlements().mail();
  object["entitlements"]["ftp"] = s.entitlements().ftp();
  object["entitlements"]["web"] = s.entitlements().web();
  object["web_names"] = std::vector<std::string>(s.web_names().begin(), s.web_names().end());
  object["quota_bytes"] = s.quota_bytes();
  object["plan"] = s.plan();
  object["labels"] = std::map<std::string, std::string>(s.labels().begin(), s.labels().end());
  object["state"] = v1::Subscriber::State_Name(s.state());
  object["suspend_reason"] = s.suspend_reason();
  object["store_pool"] = s.store_pool();
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string JsonWithError(std::string_view line, std::string_view error) {
  auto object = ParseObject<ordered_json>(line);
  if (object.is_null()) object["_line"] = std::string(line);
  object["_error"] = std::string(error);
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace prov::cli
