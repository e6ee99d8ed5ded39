#include "server/api/web_name_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "common/status.h"
#include "server/model/web_names.h"
#include "server/store/web_name_repository.h"

namespace prov::api {
namespace {

constexpr std::string_view kField = "subscriber.web_names";

}  // namespace

absl::StatusOr<std::vector<std::string>> NamesWithheld(store::WriteTransaction& write,
                                                       const std::vector<std::string>& names) {
  std::vector<std::string> withheld;
  if (names.empty() || write.caller().starts_with("operator/")) return withheld;
  std::set<std::string> over;
  for (const std::string& name : names) {
    for (std::string& domain : model::DomainsOver(name)) over.insert(std::move(domain));
  }
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> hosted,
                        store::WebNameRepository::Hosted(write, {over.begin(), over.end()}));
  for (const std::string& name : names) {
    const std::vector<std::string> domains = model::DomainsOver(name);
    const bool ours =
        std::find_first_of(hosted.begin(), hosted.end(), domains.begin(), domains.end()) != hosted.end();
    if (ours) withheld.push_back(name);
  }
  return withheld;
}

absl::Status WithheldError(std::string_view field, const std::string& name) {
  return FieldError(
      absl::StatusCode::kPermissionDenied, field, "WEB_NAME_OF_HOSTED_DOMAIN",
      fmt::format("{} is of a domain that is hosted here, whose names are given by operators only", name));
}

absl::Status TakenError(std::string_view field, const std::string& name) {
  return FieldError(
      absl::StatusCode::kAlreadyExists, field, "WEB_NAME_TAKEN",
      fmt::format("{} is the name of another subscriber's web space, or is reserved after a purge", name));
}

absl::Status SetWebNames(store::WriteTransaction& write, int64_t subscriber_id,
                         const std::vector<std::string>& before, const std::vector<std::string>& wanted) {
  store::WebNameRepository::Edit edit{.subscriber_id = subscriber_id, .added = {}, .removed = {}};
  std::set_difference(wanted.begin(), wanted.end(), before.begin(), before.end(),
                      std::back_inserter(edit.added));
  std::set_difference(before.begin(), before.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(edit.removed));
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> withheld, NamesWithheld(write, edit.added));
  if (!withheld.empty()) return WithheldError(kField, withheld.front());
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> refused,
                        store::WebNameRepository::Change(write, {edit}));
  return refused.empty() ? absl::OkStatus() : TakenError(kField, refused.front());
}

}  // namespace prov::api
