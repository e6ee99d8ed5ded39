#include "agents/mail/smtp/mailbox_lookup.h"

#include <fmt/format.h>

#include <utility>

#include "common/mail_address.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr int kMostAliasSteps = 3;

absl::StatusOr<v1::Mailbox> Find(state::StateReader& state, const std::string& local_part,
                                 const std::string& domain, int depth) {
  auto mailbox = state.FindMailboxByAddress(fmt::format("{}@{}", local_part, domain));
  if (!absl::IsNotFound(mailbox.status())) return mailbox;
  PROV_ASSIGN_OR_RETURN(const v1::HostedDomain hosted, state.FindDomain(v1::STORE, domain));
  if (!hosted.alias_of().empty() && depth < kMostAliasSteps) {
    return Find(state, local_part, FoldAddress(hosted.alias_of()), depth + 1);
  }
  if (hosted.catch_all().empty()) return mailbox;
  return state.FindMailboxByAddress(FoldAddress(hosted.catch_all()));
}

Reply RefusalOf(const v1::Mailbox& mailbox) {
  if (mailbox.closed() || mailbox.receive() == v1::REJECT_PERMANENTLY) {
    return {550, "5.2.1", "this mailbox takes no mail"};
  }
  if (mailbox.receive() == v1::ALLOW) return {};
  return {451, "4.2.1", "this mailbox takes no mail now, come again"};
}

}  // namespace

MailboxAnswer LookUpMailbox(state::StateReader& state, const Clock& clock, const Path& recipient) {
  if (recipient.form != Path::Form::kMailbox || recipient.source_route || recipient.quoted ||
      recipient.literal) {
    return {std::nullopt, {550, "5.1.1", "no such mailbox here"}};
  }
  const std::string local_part = FoldAddress(recipient.local_part);
  auto mailbox = Find(state, local_part, recipient.domain, 0);
  if (absl::IsNotFound(mailbox.status()) && state.IsCurrent(v1::STORE, clock.Now())) {
    // A record may have come between the look-up and the question whether the copy is current.
    mailbox = Find(state, local_part, recipient.domain, 0);
    if (absl::IsNotFound(mailbox.status())) return {std::nullopt, {550, "5.1.1", "no such mailbox here"}};
  }
  if (!mailbox.ok()) return {std::nullopt, {451, "4.3.0", "cannot be decided now, come again"}};
  Reply refusal = RefusalOf(*mailbox);
  if (refusal.code != 0) return {std::nullopt, std::move(refusal)};
  return {*std::move(mailbox), {}};
}

}  // namespace prov::smtp
