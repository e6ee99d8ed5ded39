#include "server/api/filter.h"

#include <fmt/format.h>

#include <functional>

#include "absl/strings/ascii.h"
#include "common/mail_address.h"
#include "common/status.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using model::State;

constexpr char kSubscriberTerms[] =
    "state = \"SUSPENDED\", domain = \"example.net\", login = \"ali*\", web_name = \"www.shop.example\", "
    "labels.KEY = \"value\"";
constexpr char kMailingListTerms[] = "domain = \"example.net\", address = \"staff*\"";

// ParseTerms adds what is right.
absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(absl::string_view(what.data(), what.size()));
}

struct Term {
  std::string field;
  std::string value;
};

// Takes terms off the front of a filter.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) { SkipBlank(); }

  bool AtEnd() const { return rest_.empty(); }

  bool TakeAnd() {
    if (!rest_.starts_with("AND ")) return false;
    rest_.remove_prefix(4);
    SkipBlank();
    return true;
  }

  absl::StatusOr<Term> TakeTerm() {
    const size_t end = rest_.find_first_of(" =");
    if (end == std::string_view::npos || end == 0) return Wrong("a term has no field or no =");
    Term term{std::string(rest_.substr(0, end)), ""};
    rest_.remove_prefix(end);
    SkipBlank();
    if (!rest_.starts_with('='))
      return Wrong(fmt::format("{} is not followed by =", model::Echo(term.field)));
    rest_.remove_prefix(1);
    SkipBlank();
    if (!rest_.starts_with('"'))
      return Wrong(fmt::format("the value of {} is not in quotes", model::Echo(term.field)));
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '\\' && i + 1 < rest_.size()) {
        term.value += rest_[++i];
      } else if (rest_[i] == '"') {
        rest_.remove_prefix(i + 1);
        SkipBlank();
        return term;
      } else {
        term.value += rest_[i];
      }
    }
    return Wrong(fmt::format("the value of {} has no closing quote", model::Echo(term.field)));
  }

 private:
  void SkipBlank() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }

  std::string_view rest_;
};

absl::Status ApplyTerms(std::string_view filter, const std::function<absl::Status(const Term&)>& apply) {
  if (filter.size() > kMaxFilterOctets) return Wrong("it is too long");
  Scanner scanner(filter);
  for (size_t terms = 0; !scanner.AtEnd(); ++terms) {
    if (terms == kMaxFilterTerms) return Wrong("it has too many terms");
    if (terms > 0 && !scanner.TakeAnd()) return Wrong("terms must be joined by AND");
    PROV_ASSIGN_OR_RETURN(const Term term, scanner.TakeTerm());
    PROV_RETURN_IF_ERROR(model::CheckText("filter", term.value, kMaxFilterOctets));
    PROV_RETURN_IF_ERROR(apply(term));
  }
  return absl::OkStatus();
}

// Hands each term to `apply`, and says on `filter` which terms there are when one is wrong.
absl::Status ParseTerms(std::string_view filter, std::string_view terms,
                        const std::function<absl::Status(const Term&)>& apply) {
  const absl::Status status = ApplyTerms(filter, apply);
  if (status.ok() || !ViolationsOf(status).empty()) return status;
  return InvalidField("filter",
                      fmt::format("{}; write terms such as {}, joined by AND", MessageOf(status), terms));
}

absl::Status NoField(const Term& term) {
  return Wrong(fmt::format("{} is no field to filter by", model::Echo(term.field)));
}

absl::Status ApplyState(const std::string& value, store::SubscriberQuery& query) {
  for (const State state : {State::kActive, State::kSuspended, State::kClosed, State::kPurged}) {
    std::string lower = value;
    absl::AsciiStrToLower(&lower);
    if (lower == model::StateName(state)) {
      query.state = state;
      return absl::OkStatus();
    }
  }
  return Wrong(
      fmt::format("{} is no state; there are ACTIVE, SUSPENDED, CLOSED and PURGED", model::Echo(value)));
}

absl::Status ApplyTerm(const Term& term, store::SubscriberQuery& query) {
  constexpr std::string_view kLabels = "labels.";
  if (term.field == "state") return ApplyState(term.value, query);
  if (term.field == "domain") {
    query.domain = FoldAddress(term.value);
    return absl::OkStatus();
  }
  if (term.field == "login") {
    const bool prefix = term.value.ends_with('*');
    (prefix ? query.login_prefix : query.login) =
        FoldAddress(term.value.substr(0, term.value.size() - prefix));
    return absl::OkStatus();
  }
  if (term.field == "web_name") {
    query.web_name = FoldAddress(term.value);
    return absl::OkStatus();
  }
  if (term.field.starts_with(kLabels) && term.field.size() > kLabels.size()) {
    query.labels[term.field.substr(kLabels.size())] = term.value;
    return absl::OkStatus();
  }
  return NoField(term);
}

absl::Status ApplyTerm(const Term& term, store::MailingListQuery& query) {
  if (term.field == "domain") {
    query.domain = FoldAddress(term.value);
    return absl::OkStatus();
  }
  if (term.field != "address") return NoField(term);
  if (!term.value.ends_with('*')) return Wrong("the value of address does not end with *");
  query.address_prefix = FoldAddress(term.value.substr(0, term.value.size() - 1));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<store::SubscriberQuery> ParseSubscriberFilter(std::string_view filter) {
  store::SubscriberQuery query;
  PROV_RETURN_IF_ERROR(
      ParseTerms(filter, kSubscriberTerms, [&](const Term& term) { return ApplyTerm(term, query); }));
  return query;
}

absl::StatusOr<store::MailingListQuery> ParseMailingListFilter(std::string_view filter) {
  store::MailingListQuery query;
  PROV_RETURN_IF_ERROR(
      ParseTerms(filter, kMailingListTerms, [&](const Term& term) { return ApplyTerm(term, query); }));
  return query;
}

absl::Status CheckLookUp(const store::SubscriberQuery& query) {
  if (!query.login.empty() || !query.web_name.empty() || !query.labels.empty() ||
      query.login_prefix.size() >= kLeastLookUpOctets) {
    return absl::OkStatus();
  }
  return FieldError(absl::StatusCode::kPermissionDenied, "filter", "LOOK_UP_ONLY",
                    fmt::format("the helpdesk looks subscribers up and does not list them: filter by login = "
                                "\"ali*\" ({} characters at least) or labels.KEY = \"value\"",
                                kLeastLookUpOctets));
}

}  // namespace prov::api
