#include "cli/field_changes.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace prov::cli {
namespace {

using nlohmann::json;

constexpr int kMostDepth = 8;

// Objects are opened up; lists stay whole.
void Flatten(const json& value, const std::string& path, int depth,
             std::map<std::string, std::string>& fields) {
  if (!value.is_object() || depth == kMostDepth) {
    fields[path] = value.dump(-1, ' ', false, json::error_handler_t::replace);
    return;
  }
  for (const auto& [name, inner] : value.items()) {
    Flatten(inner, path.empty() ? name : path + "." + name, depth + 1, fields);
  }
}

std::map<std::string, std::string> FieldsOf(const std::string& text) {
  std::map<std::string, std::string> fields;
  const json value = json::parse(text, nullptr, false);
  if (value.is_object()) Flatten(value, "", 0, fields);
  for (const char* name : {"revision", "etag", "update_time"}) fields.erase(name);
  return fields;
}

}  // namespace

std::vector<FieldChange> ChangesBetween(const std::string& before, const std::string& after) {
  const auto old_fields = FieldsOf(before), new_fields = FieldsOf(after);
  std::set<std::string> names;
  for (const auto& [name, value] : old_fields) names.insert(name);
  for (const auto& [name, value] : new_fields) names.insert(name);
  const auto value_in = [](const std::map<std::string, std::string>& fields, const std::string& name) {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  };
  std::vector<FieldChange> changes;
  for (const std::string& name : names) {
    FieldChange change{name, value_in(old_fields, name), value_in(new_fields, name)};
    if (change.before == change.after) continue;
    // proto3 leaves out what is false.
    if (change.after == "true" && !before.empty()) change.before = "false";
    if (change.before == "true" && !after.empty()) change.after = "false";
    changes.push_back(std::move(change));
  }
  return changes;
}

std::string ValueText(const std::string& text) {
  const json value = json::parse(text, nullptr, false);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return text.empty() ? "none" : text;
  std::string list;
  for (const json& item : value) {
    if (!list.empty()) list += ", ";
    list += item.is_string() ? item.get<std::string>()
                             : item.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return list.empty() ? "none" : list;
}

}  // namespace prov::cli
