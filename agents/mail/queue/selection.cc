#include "agents/mail/queue/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/mail_address.h"

namespace prov::queue {
namespace {

bool MatchesSender(const std::string& wanted, const std::string& sender) {
  return wanted == "<>" ? sender.empty() : FoldAddress(sender) == wanted;
}

bool MatchesRecipient(const Selection& selection, const Recipient& recipient) {
  if (recipient.state != State::kPending) return false;
  const std::string address = FoldAddress(recipient.address);
  if (!selection.recipient.empty() && address != selection.recipient) return false;
  return selection.recipient_domain.empty() ||
         address.substr(std::min(address.rfind('@'), address.size() - 1) + 1) == selection.recipient_domain;
}

}  // namespace

absl::StatusOr<Selection> CheckSelection(Selection selection) {
  if (selection.SaysNothing())
    return absl::InvalidArgumentError("no messages are named: ids, a recipient, a sender, or all");
  const bool narrower = !selection.ids.empty() || !selection.recipient.empty() ||
                        !selection.recipient_domain.empty() || !selection.sender.empty();
  if (selection.all && narrower) return absl::InvalidArgumentError("all is all: nothing else goes with it");
  if (selection.ids.size() > kMostSelectedIds)
    return absl::InvalidArgumentError(fmt::format("name at most {} ids", kMostSelectedIds));
  for (const std::string& id : selection.ids) {
    if (!IsMessageId(id)) return absl::InvalidArgumentError("a message id is [a-z0-9]{1,64}");
  }
  std::sort(selection.ids.begin(), selection.ids.end());
  selection.ids.erase(std::unique(selection.ids.begin(), selection.ids.end()), selection.ids.end());
  selection.recipient = FoldAddress(selection.recipient);
  selection.recipient_domain = FoldAddress(selection.recipient_domain);
  selection.sender = FoldAddress(selection.sender);
  return selection;
}

bool Matches(const Selection& selection, const Envelope& envelope) {
  if (!selection.ids.empty() &&
      std::find(selection.ids.begin(), selection.ids.end(), envelope.id) == selection.ids.end())
    return false;
  if (!selection.sender.empty() && !MatchesSender(selection.sender, envelope.sender)) return false;
  if (selection.recipient.empty() && selection.recipient_domain.empty()) return true;
  return std::any_of(envelope.recipients.begin(), envelope.recipients.end(),
                     [&](const Recipient& recipient) { return MatchesRecipient(selection, recipient); });
}

}  // namespace prov::queue
