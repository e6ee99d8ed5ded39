#include "cli/subscriber_output.h"

#include <fmt/format.h>

#include <map>

#include "absl/strings/ascii.h"
#include "cli/moment.h"

namespace prov::cli {
namespace {

std::string EntitlementsText(const v1::Entitlements& entitlements) {
  std::string text;
  const auto add = [&](bool has, std::string_view name) {
    if (has) text += fmt::format("{}{}", text.empty() ? "" : " ", name);
  };
  add(entitlements.mail(), "mail");
  add(entitlements.ftp(), "ftp");
  add(entitlements.web(), "web");
  return text.empty() ? "none" : text;
}

}  // namespace

std::string ActionText(const v1::ScheduledChange& change) {
  std::string text = v1::ScheduledChange::Action_Name(change.action());
  absl::AsciiStrToLower(&text);
  return text;
}

std::string StateText(const v1::Subscriber& subscriber) {
  std::string text = v1::Subscriber::State_Name(subscriber.state());
  absl::AsciiStrToLower(&text);
  return text;
}

void PrintSubscriber(const Session& session, const v1::Subscriber& s) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(s));
    return;
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"login", s.login()}, {"state", StateText(s)}};
  if (!s.suspend_reason().empty()) fields.emplace_back("reason", s.suspend_reason());
  fields.emplace_back("name", s.display_name());
  fields.emplace_back("may use", EntitlementsText(s.entitlements()));
  fields.emplace_back("password", s.has_password() ? "set" : "none: cannot log in");
  for (int i = 1; i < s.addresses_size(); ++i) fields.emplace_back("alias", s.addresses(i));
  for (const std::string& target : s.forward().targets()) {
    fields.emplace_back("forward", target + (s.forward().keep_copy() ? " (keeps a copy)" : ""));
  }
  for (const std::string& name : s.web_names()) fields.emplace_back("web name", name);
  fields.emplace_back("quota", SizeText(s.quota_bytes()));
  if (!s.plan().empty()) fields.emplace_back("plan", s.plan());
  for (const auto& [key, value] : std::map<std::string, std::string>(s.labels().begin(), s.labels().end())) {
    fields.emplace_back("label", key + "=" + value);
  }
  fields.emplace_back("pool", s.store_pool());
  fields.emplace_back("id", fmt::format("{}  {}  uid {}", s.name(), s.uid(), s.uid_number()));
  fields.emplace_back("created", MomentText(s.create_time()));
  fields.emplace_back("changed", fmt::format("{}  revision {}", MomentText(s.update_time()), s.revision()));
  if (s.has_expire_time()) fields.emplace_back("purged on", MomentText(s.expire_time()));
  for (const v1::ScheduledChange& change : s.scheduled_changes()) {
    fields.emplace_back("scheduled", fmt::format("{} at {} by {}{}{}", ActionText(change),
                                                 MomentText(change.effective_time()), change.caller(),
                                                 change.error().empty() ? "" : ": ", change.error()));
  }
  fmt::print("{}", ToList(fields));
}

SubscriberListing::SubscriberListing(Format format)
    : format_(format), table_({"LOGIN", "STATE", "MAY USE", "NAME"}) {}

void SubscriberListing::Print(const v1::ListSubscribersResponse& page) {
  if (format_ == Format::kTable) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::Subscriber& s : page.subscribers()) {
      rows.push_back({s.login(), StateText(s), EntitlementsText(s.entitlements()), s.display_name()});
    }
    fmt::print("{}", table_.Rows(rows));
    return;
  }
  for (const v1::Subscriber& subscriber : page.subscribers()) {
    fmt::print("{}{}", begun_ ? "," : "{\"subscribers\": [\n", ToJson(subscriber));
    begun_ = true;
  }
}

void SubscriberListing::End(const std::string& next_page_token) {
  if (format_ == Format::kTable) return;
  // Tokens are provd's, in URL-safe letters: nothing to quote.
  fmt::print("{}], \"next_page_token\": \"{}\"}}\n", begun_ ? "" : "{\"subscribers\": [", next_page_token);
}

absl::Status ReportWrite(Session& session, std::string_view verb, const v1::Subscriber& subscriber) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(subscriber));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, verb, Safe(subscriber.login()), subscriber.revision()));
  }
  return session.WaitIfAsked(subscriber.revision());
}

}  // namespace prov::cli
