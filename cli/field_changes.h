// What differs between two states of a resource, field by field: pure.
#pragma once

#include <string>
#include <vector>

namespace prov::cli {

struct FieldChange {
  std::string field;   // "state", "entitlements.ftp", "labels.billing"
  std::string before;  // JSON value, or empty: was not set
  std::string after;

  bool operator==(const FieldChange&) const = default;
};

// `before` and `after` are JSON objects, or empty: there was nothing, or is nothing any more. Fields that
// differ with every write (revision, etag, update_time) are left out. In order of names.
std::vector<FieldChange> ChangesBetween(const std::string& before, const std::string& after);

// A JSON value for people: strings without quotes, lists with commas, "none" for what is not set.
std::string ValueText(const std::string& json);

}  // namespace prov::cli
