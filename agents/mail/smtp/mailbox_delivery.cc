#include "agents/mail/smtp/mailbox_delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "agents/mail/maildir/delivery.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

bool IsOurs(state::StateReader& state, std::string_view address) {
  const std::string folded = FoldAddress(address);
  return state.FindDomain(v1::STORE, std::string_view(folded).substr(folded.rfind('@') + 1)).ok();
}

// Rewritten where the next host would find us not entitled to send it (SPF): from elsewhere, to elsewhere.
std::string ForwardSender(const MailboxDelivery& d) {
  if (d.rewriting == nullptr || d.sender.empty() || IsOurs(*d.state, d.sender)) return d.sender;
  const auto& targets = d.mailbox->forward_targets();
  const bool stays = std::all_of(targets.begin(), targets.end(),
                                 [&d](const std::string& target) { return IsOurs(*d.state, target); });
  return stays ? d.sender : d.rewriting->Rewrite(d.sender, d.now);
}

absl::StatusOr<std::unique_ptr<queue::MessageWriter>> PrepareForward(const MailboxDelivery& d,
                                                                     const std::string& header,
                                                                     queue::Spool& spool) {
  queue::Envelope envelope;
  envelope.id = queue::Spool::NewId(d.now);
  envelope.trace = d.trace;
  envelope.received = d.now;
  envelope.client = d.client;
  envelope.eight_bit = d.mail->eight_bit;
  envelope.utf8 = d.mail->utf8;
  envelope.returned = d.mail->returned;
  envelope.envelope_id = d.mail->envelope_id;
  envelope.sender = ForwardSender(d);
  // RFC 3461 section 5.2.7.2: of a mailbox that keeps a copy, its delivery is told, and that of no other.
  queue::Notify notify = d.notify;
  if (d.mailbox->keep_copy()) notify.success = false;
  for (const std::string& target : d.mailbox->forward_targets())
    envelope.recipients.push_back({target, notify, d.original});
  PROV_ASSIGN_OR_RETURN(auto writer, spool.Begin(std::move(envelope)));
  PROV_RETURN_IF_ERROR(writer->Append(header));
  PROV_RETURN_IF_ERROR(d.content->ForEach([&](std::string_view piece) { return writer->Append(piece); }));
  return writer;
}

absl::StatusOr<std::unique_ptr<maildir::Delivery>> PrepareCopy(const MailboxDelivery& d,
                                                               const std::string& header) {
  PROV_ASSIGN_OR_RETURN(auto copy, maildir::Delivery::Begin(d.maildir_root, d.mailbox->mailbox_id(),
                                                            {d.host, d.name, d.mailbox->quota_bytes()}));
  // RFC 5321 section 4.4: final delivery tells the reverse path.
  PROV_RETURN_IF_ERROR(copy->Append(fmt::format("Return-Path: <{}>\r\n", d.sender)));
  PROV_RETURN_IF_ERROR(copy->Append(header));
  PROV_RETURN_IF_ERROR(d.content->ForEach([&](std::string_view piece) { return copy->Append(piece); }));
  return copy;
}

}  // namespace

absl::StatusOr<Delivered> DeliverToMailbox(const MailboxDelivery& d, queue::Spool& spool) {
  const bool forwards = d.mailbox->forward_targets_size() > 0;
  const bool keeps = !forwards || d.mailbox->keep_copy();
  // Delivered-To is what ends a circle of forwards: the mailbox knows its own name.
  std::string header = fmt::format("Delivered-To: {}\r\n{}", d.mailbox->login(), d.received);
  if (d.blank_first) header += "\r\n";
  // Both are written before either counts: what fails, mostly fails while it is written.
  std::unique_ptr<queue::MessageWriter> forward;
  std::unique_ptr<maildir::Delivery> copy;
  if (forwards) {
    PROV_ASSIGN_OR_RETURN(forward, PrepareForward(d, header, spool));
  }
  if (keeps) {
    PROV_ASSIGN_OR_RETURN(copy, PrepareCopy(d, header));
  }
  // Forwards count before the copy does: where the copy lies already, they were sent on with it.
  if (copy && copy->IsRepetition()) forward.reset();
  Delivered delivered;
  std::string forward_id;
  if (forward) {
    PROV_ASSIGN_OR_RETURN(queue::StoredMessage stored, forward->Commit());
    forward_id = stored.envelope.id;
    delivered.forwards.push_back(std::move(stored));
  }
  if (copy) {
    auto file = copy->Commit();
    if (!file.ok()) {
      if (!forward_id.empty()) PROV_RETURN_IF_ERROR(spool.Withdraw(forward_id));
      return file.status();
    }
    delivered.file = *std::move(file);
  }
  return delivered;
}

}  // namespace prov::smtp
