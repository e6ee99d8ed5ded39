// One row of an import: what it says of a subscriber, checked and normalised. Pure.
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prov/v1/subscribers.pb.h"
#include "server/model/subscriber.h"

namespace prov::api {

struct ImportedRow {
  std::string login;
  // What the row speaks of: "plan", "labels", "labels.crm", "entitlements.ftp", "addresses", "forward",
  // "state", …
  std::set<std::string> fields;
  // Holds what `fields` names; addresses with the login first.
  model::Subscriber values;
  std::string password_hash;  // empty: stays
};

// Errors name the row's own fields: "login", "addresses[1]".
absl::StatusOr<ImportedRow> ParseImportRow(const v1::ImportRow& row);

// When a row is applied.
struct ImportMoment {
  uint64_t revision = 0;
  model::Time now;
  std::chrono::seconds undelete{0};  // how long a closed one can come back
};

// Makes of a subscriber, or of an empty one with its login, what the row says, addresses included.
void ApplyImportRow(const ImportedRow& row, const ImportMoment& moment, model::Subscriber& subscriber);

// What differs, field by field. A changed password is named without its values.
std::vector<v1::FieldChange> DifferencesOf(const model::Subscriber& before, const model::Subscriber& after);

}  // namespace prov::api
