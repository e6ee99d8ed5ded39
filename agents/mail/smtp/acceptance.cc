#include "agents/mail/smtp/acceptance.h"

namespace prov::smtp {

Reply ReplyOf(const policy::Verdict& verdict) {
  return {verdict.code, verdict.enhanced, verdict.text, verdict.close};
}

Reply StorageReply(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return {452, "4.3.1", "no room now, come again"};
  return {451, "4.3.0", "cannot be stored now, come again"};
}

policy::Recipient PolicyRecipient(const Path& path) {
  policy::Recipient recipient;
  recipient.text = path.text;
  recipient.local_part = path.local_part;
  recipient.domain = path.domain;
  recipient.source_route = path.source_route;
  recipient.quoted = path.quoted;
  recipient.literal = path.literal;
  recipient.postmaster = path.form == Path::Form::kPostmaster;
  return recipient;
}

policy::Header PolicyHeader(const HeaderFacts& facts) { return {facts.received, facts.delivered_to}; }

}  // namespace prov::smtp
