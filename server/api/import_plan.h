// What an import has to do for its rows, from what there is. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/import_row.h"
#include "server/model/fleet.h"
#include "server/model/subscriber.h"

namespace prov::api {

// What the rows touch, as it is before them. Planning a row claims its addresses here.
struct ImportFacts {
  std::map<std::string, model::Subscriber> existing;  // by login
  std::map<std::string, int64_t> address_owners;   // 0: nobody who could give it away; see SubscriberImport
  std::map<std::string, int64_t> web_name_owners;  // 0: reserved
  std::set<std::string> withheld_web_names;        // that the caller may not give; see web_name_rules.h
  std::map<std::string, model::SuspendedMail> domains;
  std::vector<model::Pool> store_pools;
};

struct ImportStep {
  v1::ImportResult::Action action = v1::ImportResult::REFUSED;
  absl::Status refused;  // why, naming the row's field
  model::Subscriber before, after;
  std::vector<std::string> added, removed;  // addresses of an existing one
  std::vector<std::string> added_web_names, removed_web_names;
};

class ImportPlanner {
 public:
  ImportPlanner(ImportFacts facts, const ImportMoment& moment) : facts_(std::move(facts)), moment_(moment) {}

  // Rows in order; one that failed to parse is refused with its error.
  ImportStep Plan(const absl::StatusOr<ImportedRow>& row);

 private:
  absl::Status PlanNew(const ImportedRow& row, ImportStep& step);
  absl::Status PlanExisting(const ImportedRow& row, const model::Subscriber& existing, ImportStep& step);
  absl::Status CheckAddresses(const std::string& login, const std::vector<std::string>& addresses) const;
  absl::Status PlanWebNames(ImportStep& step) const;
  void Claim(const ImportStep& step);
  absl::Status PlaceMailbox(model::Subscriber& subscriber);

  ImportFacts facts_;
  const ImportMoment moment_;
  std::map<std::string, bool> seen_;  // logins
};

// What must be known before the rows can be planned, each once.
struct ImportQuestions {
  std::vector<std::string> logins, addresses, domains, web_names;
};
ImportQuestions QuestionsOf(const std::vector<absl::StatusOr<ImportedRow>>& rows);

}  // namespace prov::api
