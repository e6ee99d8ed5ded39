#include "server/api/import_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "common/status.h"
#include "server/api/web_name_rules.h"
#include "server/model/placement.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using model::State;
using model::Subscriber;

constexpr int64_t kClaimed = -1;  // by a row before

std::string DomainPart(const std::string& address) { return address.substr(address.rfind('@') + 1); }

// What only shows when the row and what was there are one.
absl::Status CheckWhole(const Subscriber& s) {
  PROV_RETURN_IF_ERROR(model::CheckLabels("labels", s.labels));
  for (const std::string& target : s.forward.targets) {
    if (std::find(s.addresses.begin(), s.addresses.end(), target) == s.addresses.end()) continue;
    return InvalidField(
        "forward.targets",
        fmt::format("{} is an address of the subscriber itself; keep_copy keeps a copy", target));
  }
  return absl::OkStatus();
}

}  // namespace

ImportStep ImportPlanner::Plan(const absl::StatusOr<ImportedRow>& row) {
  ImportStep step;
  const auto plan = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(row.status());
    if (!seen_.emplace(row->login, true).second) {
      return FieldError(absl::StatusCode::kInvalidArgument, "login", "LOGIN_REPEATED",
                        fmt::format("{} is in an earlier row of the same request; keep one", row->login));
    }
    const auto existing = facts_.existing.find(row->login);
    return existing == facts_.existing.end() ? PlanNew(*row, step)
                                             : PlanExisting(*row, existing->second, step);
  };
  step.refused = plan();
  if (!step.refused.ok()) step.action = v1::ImportResult::REFUSED;
  return step;
}

absl::Status ImportPlanner::PlanNew(const ImportedRow& row, ImportStep& step) {
  if (row.fields.count("state") && row.values.state == State::kClosed) {
    step.action = v1::ImportResult::UNCHANGED;  // gone already
    return absl::OkStatus();
  }
  Subscriber& s = step.after;
  s.login = row.login;
  ApplyImportRow(row, moment_, s);
  const auto domain = facts_.domains.find(DomainPart(row.login));
  if (domain != facts_.domains.end()) s.suspended_mail = domain->second;
  PROV_RETURN_IF_ERROR(CheckAddresses(s.login, s.addresses));
  PROV_RETURN_IF_ERROR(CheckWhole(s));
  PROV_RETURN_IF_ERROR(PlanWebNames(step));
  PROV_RETURN_IF_ERROR(PlaceMailbox(s));
  for (const std::string& address : s.addresses) facts_.address_owners[address] = kClaimed;
  Claim(step);
  step.action = v1::ImportResult::ADDED;
  return absl::OkStatus();
}

absl::Status ImportPlanner::PlanExisting(const ImportedRow& row, const Subscriber& existing,
                                         ImportStep& step) {
  step.before = step.after = existing;
  Subscriber& s = step.after;
  if (existing.state == State::kClosed && !row.fields.count("state")) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "state", "SUBSCRIBER_CLOSED",
                      fmt::format("{} is closed; a row with state ACTIVE brings it back", existing.login));
  }
  if (row.fields.count("store_pool") && row.values.store_pool != existing.store_pool) {
    return FieldError(
        absl::StatusCode::kFailedPrecondition, "store_pool", "MAILBOX_ELSEWHERE",
        fmt::format("the mailbox is on pools/{}, and an import does not move it", existing.store_pool));
  }
  ApplyImportRow(row, moment_, s);
  const std::set<std::string> had(existing.addresses.begin(), existing.addresses.end());
  const std::set<std::string> has(s.addresses.begin(), s.addresses.end());
  std::set_difference(has.begin(), has.end(), had.begin(), had.end(), std::back_inserter(step.added));
  std::set_difference(had.begin(), had.end(), has.begin(), has.end(), std::back_inserter(step.removed));
  PROV_RETURN_IF_ERROR(CheckAddresses(s.login, step.added));
  PROV_RETURN_IF_ERROR(CheckWhole(s));
  PROV_RETURN_IF_ERROR(PlanWebNames(step));
  Claim(step);
  const bool closed = s.state == State::kClosed && existing.state != State::kClosed;
  const bool changed = !DifferencesOf(existing, s).empty();
  step.action = closed    ? v1::ImportResult::REMOVED
                : changed ? v1::ImportResult::CHANGED
                          : v1::ImportResult::UNCHANGED;
  return absl::OkStatus();
}

absl::Status ImportPlanner::CheckAddresses(const std::string& login,
                                           const std::vector<std::string>& addresses) const {
  for (const std::string& address : addresses) {
    const char* const field = address == login ? "login" : "addresses";
    const std::string domain = DomainPart(address);
    if (!facts_.domains.count(domain)) {
      return FieldError(absl::StatusCode::kNotFound, field, "DOMAIN_UNKNOWN",
                        fmt::format("the domain {} of {} is not hosted here; provctl add-domain {} hosts it",
                                    domain, address, domain));
    }
    if (!facts_.address_owners.count(address)) continue;
    return FieldError(
        absl::StatusCode::kAlreadyExists, field, "ADDRESS_TAKEN",
        fmt::format("{} belongs to another subscriber or list, or is reserved after a purge", address));
  }
  return absl::OkStatus();
}

absl::Status ImportPlanner::PlanWebNames(ImportStep& step) const {
  const std::vector<std::string>&had = step.before.web_names, &has = step.after.web_names;
  std::set_difference(has.begin(), has.end(), had.begin(), had.end(),
                      std::back_inserter(step.added_web_names));
  std::set_difference(had.begin(), had.end(), has.begin(), has.end(),
                      std::back_inserter(step.removed_web_names));
  for (const std::string& name : step.added_web_names) {
    if (facts_.withheld_web_names.contains(name)) return WithheldError("web_names", name);
    if (facts_.web_name_owners.contains(name)) return TakenError("web_names", name);
  }
  return absl::OkStatus();
}

void ImportPlanner::Claim(const ImportStep& step) {
  for (const std::string& address : step.added) facts_.address_owners[address] = kClaimed;
  for (const std::string& address : step.removed) facts_.address_owners.erase(address);
  for (const std::string& name : step.added_web_names) facts_.web_name_owners[name] = kClaimed;
  for (const std::string& name : step.removed_web_names) facts_.web_name_owners.erase(name);
}

absl::Status ImportPlanner::PlaceMailbox(Subscriber& s) {
  PROV_ASSIGN_OR_RETURN(s.store_pool, model::PlaceMailbox(facts_.store_pools, s.store_pool, "store_pool"));
  for (model::Pool& pool : facts_.store_pools) pool.mailboxes += pool.id == s.store_pool ? 1 : 0;
  return absl::OkStatus();
}

ImportQuestions QuestionsOf(const std::vector<absl::StatusOr<ImportedRow>>& rows) {
  std::set<std::string> logins, addresses, domains, web_names;
  for (const auto& row : rows) {
    if (!row.ok()) continue;
    logins.insert(row->login);
    web_names.insert(row->values.web_names.begin(), row->values.web_names.end());
    for (const std::string& address : row->values.addresses) {
      addresses.insert(address);
      domains.insert(DomainPart(address));
    }
  }
  return {{logins.begin(), logins.end()},
          {addresses.begin(), addresses.end()},
          {domains.begin(), domains.end()},
          {web_names.begin(), web_names.end()}};
}

}  // namespace prov::api
