#include "server/api/subscriber_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status.h"
#include "server/api/import_effects.h"
#include "server/api/translation.h"
#include "server/api/web_name_rules.h"
#include "server/feed/change_set.h"
#include "server/store/approval_repository.h"
#include "server/store/subscriber_import.h"
#include "server/store/web_name_repository.h"

namespace prov::api {
namespace {

using store::SubscriberImport;
using store::WebNameRepository;
using store::WriteTransaction;

constexpr std::string_view kMethod = "/prov.v1.Subscribers/ImportSubscribers";
constexpr int kMaxRows = 500;
constexpr int kMaxImports = 4;

absl::StatusOr<ImportFacts> ReadFacts(WriteTransaction& write, const ImportQuestions& questions) {
  ImportFacts facts;
  PROV_ASSIGN_OR_RETURN(facts.existing, SubscriberImport::FindByLogin(write, questions.logins));
  PROV_ASSIGN_OR_RETURN(facts.address_owners, SubscriberImport::AddressOwners(write, questions.addresses));
  PROV_ASSIGN_OR_RETURN(facts.web_name_owners, WebNameRepository::Owners(write, questions.web_names));
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> withheld, NamesWithheld(write, questions.web_names));
  facts.withheld_web_names = {withheld.begin(), withheld.end()};
  PROV_ASSIGN_OR_RETURN(facts.domains, SubscriberImport::HostedDomains(write, questions.domains));
  PROV_ASSIGN_OR_RETURN(facts.store_pools, SubscriberImport::StorePools(write));
  return facts;
}

// What takes something away, and is counted as single calls are.
bool IsHarm(const ImportStep& step) {
  return step.action == v1::ImportResult::REMOVED ||
         (step.action == v1::ImportResult::CHANGED && step.before.state == model::State::kActive &&
          step.after.state == model::State::kSuspended);
}

absl::Status WriteWebNames(WriteTransaction& write, const std::vector<ImportStep>& steps) {
  std::vector<WebNameRepository::Edit> edits;
  for (const ImportStep& step : steps) {
    if (step.action == v1::ImportResult::REFUSED || step.action == v1::ImportResult::UNCHANGED) continue;
    edits.push_back({step.after.id, step.added_web_names, step.removed_web_names});
  }
  PROV_ASSIGN_OR_RETURN(const std::vector<std::string> refused, WebNameRepository::Change(write, edits));
  if (refused.empty()) return absl::OkStatus();
  return absl::InternalError("a name of web space was taken although it was free");
}

absl::Status WriteSteps(WriteTransaction& write, std::vector<ImportStep>& steps,
                        const model::HarmLimits& harm) {
  const auto harms = std::count_if(steps.begin(), steps.end(), IsHarm);
  if (harms > 0) PROV_RETURN_IF_ERROR(store::ApprovalRepository::Count(write, harm, harms));
  std::vector<model::Subscriber*> added;
  std::vector<SubscriberImport::Edit> edits;
  for (ImportStep& step : steps) {
    if (step.action == v1::ImportResult::ADDED) added.push_back(&step.after);
    if (step.action == v1::ImportResult::CHANGED || step.action == v1::ImportResult::REMOVED) {
      edits.push_back({&step.after, step.added, step.removed});
    }
  }
  // In this order, for a new one may have an address that another one gives away.
  PROV_RETURN_IF_ERROR(SubscriberImport::Save(write, edits));
  PROV_RETURN_IF_ERROR(SubscriberImport::Insert(write, added));
  return WriteWebNames(write, steps);
}

v1::ImportResult ResultOf(const ImportStep& step) {
  v1::ImportResult result;
  result.set_action(step.action);
  if (step.action == v1::ImportResult::REFUSED) {
    v1::ImportError* error = result.mutable_error();
    error->set_code(static_cast<int>(step.refused.code()));
    error->set_reason(ReasonOf(step.refused));
    error->set_message(std::string(MessageOf(step.refused)));
    const std::vector<FieldViolation> violations = ViolationsOf(step.refused);
    if (!violations.empty()) error->set_field(violations.front().field);
    return result;
  }
  if (step.after.id != 0) result.set_name(fmt::format("subscribers/{}", step.after.id));
  if (step.action == v1::ImportResult::CHANGED || step.action == v1::ImportResult::REMOVED) {
    for (v1::FieldChange& change : DifferencesOf(step.before, step.after))
      *result.add_changes() = std::move(change);
  }
  return result;
}

store::WriteResult AuditOf(const std::vector<ImportStep>& steps) {
  store::WriteResult result;
  for (const ImportStep& step : steps) {
    if (step.action == v1::ImportResult::REFUSED || step.action == v1::ImportResult::UNCHANGED) continue;
    const v1::Subscriber after = ToProto(step.after);
    const bool added = step.action == v1::ImportResult::ADDED;
    const v1::Subscriber before = added ? v1::Subscriber() : ToProto(step.before);
    result.audit.push_back(AuditEntryOf(after.name(), added ? nullptr : &before, after));
  }
  return result;
}

}  // namespace

absl::Status SubscriberImporter::Run(grpc::ServerContext& context, Stream& stream) {
  PROV_RETURN_IF_ERROR(parts_.writes->authoriser().Authorise(context, kMethod).status());
  struct Running {
    explicit Running(std::atomic<int>& count) : count(count), number(++count) {}
    ~Running() { --count; }
    std::atomic<int>& count;
    const int number;
  } running(running_);
  if (running.number > kMaxImports) {
    return absl::ResourceExhaustedError(
        fmt::format("{} imports are running already; try again when one has ended", kMaxImports));
  }
  v1::ImportSubscribersRequest request;
  while (stream.Read(&request)) {
    v1::ImportSubscribersResponse response;
    PROV_RETURN_IF_ERROR(RunRequest(context, request, response));
    if (!stream.Write(response)) return absl::CancelledError("the caller has gone");
  }
  return absl::OkStatus();
}

absl::Status SubscriberImporter::RunRequest(const grpc::ServerContext& context,
                                            const v1::ImportSubscribersRequest& request,
                                            v1::ImportSubscribersResponse& response) const {
  if (request.rows_size() > kMaxRows) {
    return InvalidField("rows",
                        fmt::format("are {}; send at most {} in a request", request.rows_size(), kMaxRows));
  }
  std::vector<absl::StatusOr<ImportedRow>> rows;
  rows.reserve(request.rows_size());
  for (const v1::ImportRow& row : request.rows()) rows.push_back(ParseImportRow(row));

  feed::Fleet fleet;
  if (request.validate_only()) {
    PROV_ASSIGN_OR_RETURN(const auto snapshot, parts_.snapshots->OpenSnapshot());
    PROV_ASSIGN_OR_RETURN(fleet, feed::ReadFleet(*snapshot));
  }
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(std::vector<ImportStep> steps, Plan(write, rows));
    v1::ImportSubscribersResponse answer;
    store::WriteResult result;
    if (request.validate_only()) {
      for (v1::ImportEffect& effect : EffectsOf(steps, fleet, parts_.mapping)) {
        *answer.add_effects() = std::move(effect);
      }
    } else {
      PROV_RETURN_IF_ERROR(WriteSteps(write, steps, parts_.lifecycle.harm));
      result = AuditOf(steps);
      if (!write.changes().empty()) answer.set_revision(write.revision());
    }
    for (const ImportStep& step : steps) *answer.add_results() = ResultOf(step);
    result.response = answer.SerializeAsString();
    return result;
  };
  const WriteCalls::Options options = {
      .method = kMethod, .request = &request, .validate_only = request.validate_only()};
  return parts_.writes->Run(context, options, nullptr, body, &response);
}

absl::StatusOr<std::vector<ImportStep>> SubscriberImporter::Plan(
    WriteTransaction& write, const std::vector<absl::StatusOr<ImportedRow>>& rows) const {
  PROV_ASSIGN_OR_RETURN(ImportFacts facts, ReadFacts(write, QuestionsOf(rows)));
  const ImportMoment moment{write.revision(), std::chrono::system_clock::now(), parts_.lifecycle.undelete};
  ImportPlanner planner(std::move(facts), moment);
  std::vector<ImportStep> steps;
  steps.reserve(rows.size());
  for (const auto& row : rows) steps.push_back(planner.Plan(row));
  return steps;
}

}  // namespace prov::api
