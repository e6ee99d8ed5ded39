#include "agents/mail/smtp/lmtp_handler.h"

#include <algorithm>
#include <asio/use_awaitable.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "agents/mail/net/in_turn.h"
#include "agents/mail/queue/mail_event.h"
#include "agents/mail/smtp/acceptance.h"
#include "agents/mail/smtp/content_spool.h"
#include "agents/mail/smtp/delivery_notice.h"
#include "agents/mail/smtp/mailbox_delivery.h"
#include "agents/mail/smtp/mailbox_lookup.h"
#include "agents/mail/smtp/trace_header.h"
#include "common/log.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

class LmtpHandler final : public Handler {
 public:
  LmtpHandler(const StoreServices& services, const net::Peer& peer) : services_(services) {
    client_.address = peer.address;
    client_.trusted = true;  // who may connect is the network's matter; other domains are refused to all
  }

  asio::awaitable<Reply> Connect() override {
    const policy::Verdict verdict = co_await services_.policy->Connect(client_);
    co_return ReplyOf(verdict);
  }

  void Secured(const net::TlsFacts& facts) override {
    client_.hello.clear();
    cipher_ = facts.cipher;
  }

  asio::awaitable<Reply> Hello(std::string name, bool) override {
    client_.hello = std::move(name);
    const policy::Verdict verdict = co_await services_.policy->Hello(client_);
    co_return verdict.go_on() ? Reply{250, "", services_.hostname} : ReplyOf(verdict);
  }

  asio::awaitable<Reply> Mail(const MailCommand& mail) override {
    Reset();
    envelope_.trace = queue::Spool::NewId(services_.clock->Now());
    envelope_.sender = mail.sender.text;
    mail_ = mail;
    const policy::Verdict verdict = co_await services_.policy->Mail(client_, envelope_);
    co_return verdict.go_on() ? Reply{250, "2.1.0", "sender ok"} : ReplyOf(verdict);
  }

  asio::awaitable<Reply> Recipient(const RecipientCommand& command) override {
    const Path& path = command.path;
    const policy::Recipient recipient = PolicyRecipient(path);
    const policy::Verdict verdict = co_await services_.policy->Rcpt(client_, envelope_, recipient);
    if (!verdict.go_on()) co_return ReplyOf(verdict);
    MailboxAnswer answer = LookUpMailbox(*services_.state, *services_.clock, path);
    if (!answer.mailbox) co_return answer.refusal;
    envelope_.recipients.push_back(path.text);
    mailboxes_.push_back(*std::move(answer.mailbox));
    commands_.push_back(command);
    co_return Reply{250, "2.1.5", "recipient ok"};
  }

  asio::awaitable<Reply> Data() override {
    content_.emplace(services_.scratch_directory);
    co_return Reply{354, "", "end with CRLF.CRLF"};
  }

  asio::awaitable<void> Content(std::string text) override {
    if (content_->octets() == 0) blank_first_ = text.front() == ' ' || text.front() == '\t';
    if (!failure_.ok()) co_return;
    if (content_->WantsDisk(text.size())) {
      failure_ = co_await net::RunBlocking(*services_.pool, [this, &text] { return content_->Append(text); });
    } else {
      failure_ = content_->Append(text);
    }
  }

  asio::awaitable<void> HeaderEnd(const HeaderFacts& facts) override {
    // The relay's Received is on top; its id goes on, so that one id leads from there to here.
    const std::string trace = TraceIdOf(facts.first_received);
    if (!trace.empty()) envelope_.trace = trace;
    file_name_ = MaildirNameOf(trace);
    const policy::Header header = PolicyHeader(facts);
    const policy::Verdict verdict = co_await services_.policy->HeaderEnd(client_, envelope_, header);
    if (!verdict.go_on()) refusal_ = ReplyOf(verdict);
  }

  asio::awaitable<std::vector<Reply>> End(const HeaderFacts& facts, uint64_t octets) override {
    if (refusal_.code == 0) {
      const policy::Verdict verdict = co_await services_.policy->MessageEnd(client_, envelope_, octets);
      refusal_ = ReplyOf(verdict);
    }
    if (refusal_.code == 0 && !failure_.ok()) {
      Log(Level::kError, "delivery_failed", {{"trace", envelope_.trace}, {"error", failure_}});
      refusal_ = StorageReply(failure_);
    }
    std::vector<Reply> replies;
    for (size_t i = 0; i < mailboxes_.size(); ++i) {
      Reply reply = refusal_;
      if (reply.code == 0) reply = co_await Deliver(i, facts, replies, octets);
      replies.push_back(std::move(reply));
    }
    Reset();
    co_return replies;
  }

  void Reset() override {
    envelope_ = {};
    mailboxes_.clear();
    commands_.clear();
    content_.reset();
    blank_first_ = false;
    file_name_.clear();
    failure_ = absl::OkStatus();
    refusal_ = {};
  }

 private:
  asio::awaitable<Reply> Deliver(size_t index, const HeaderFacts& facts, const std::vector<Reply>& earlier,
                                 uint64_t octets) {
    const v1::Mailbox& mailbox = mailboxes_[index];
    // Two addresses of one mailbox are one delivery.
    for (size_t i = 0; i < index; ++i) {
      if (mailboxes_[i].mailbox_id() == mailbox.mailbox_id()) co_return earlier[i];
    }
    const auto& seen = facts.delivered_to;
    if (std::find(seen.begin(), seen.end(), FoldAddress(mailbox.login())) != seen.end()) {
      co_return Reply{554, "5.4.6", "the message was delivered here before: forwards go in a circle"};
    }
    // It may have left since RCPT, purged or moved to another pool: made anew it would be nobody's.
    const MailboxAnswer now = LookUpMailbox(*services_.state, *services_.clock, commands_[index].path);
    if (!now.mailbox) co_return now.refusal;
    if (now.mailbox->mailbox_id() != mailbox.mailbox_id()) {
      co_return Reply{451, "4.3.0", "the address changed its mailbox, come again"};
    }
    const auto begun = services_.clock->Monotonic();
    const MailboxDelivery delivery = DeliveryTo(mailbox, index);
    const auto deliver = [this, &delivery] { return DeliverToMailbox(delivery, *services_.forwards); };
    // Once it has begun only its end tells whether the mail is here; before, the relay may as well go
    // elsewhere.
    const net::Turn turn{mailbox.mailbox_id()};
    absl::StatusOr<Delivered> delivered = co_await net::RunInTurn(*services_.mailboxes, turn, deliver);
    if (absl::IsOutOfRange(delivered.status())) {
      TellOf(Level::kInfo, "mailbox_full", index, mailbox, delivered.status());
      // RFC 3463 section 3.3, X.2.2.
      co_return services_.defers_over_quota ? Reply{452, "4.2.2", "the mailbox is full, come again"}
                                            : Reply{552, "5.2.2", "the mailbox is full"};
    }
    if (!delivered.ok()) {
      TellOf(Level::kError, "delivery_failed", index, mailbox, delivered.status());
      co_return StorageReply(delivered.status());
    }
    const size_t forwards = delivered->forwards.size();
    for (queue::StoredMessage& forward : delivered->forwards) services_.runner->Accept(std::move(forward));
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(services_.clock->Monotonic() - begun).count();
    queue::TellOfMail(services_.trace, Level::kInfo, "mail_delivered",
                      {{"trace", envelope_.trace},
                       {"sender", envelope_.sender},
                       {"recipient", envelope_.recipients[index]},
                       {"mailbox", mailbox.mailbox_id()},
                       {"file", delivered->file},
                       {"forwards", forwards},
                       {"octets", octets},
                       {"commit_ms", took}});
    if (!delivered->file.empty()) co_await TellSender(index);
    co_return Reply{250, "2.0.0", "delivered"};
  }

  void TellOf(Level level, const char* event, size_t index, const v1::Mailbox& mailbox,
              const absl::Status& error) const {
    queue::TellOfMail(services_.trace, level, event,
                      {{"trace", envelope_.trace},
                       {"sender", envelope_.sender},
                       {"recipient", envelope_.recipients[index]},
                       {"mailbox", mailbox.mailbox_id()},
                       {"error", error}});
  }

  // What the sender asked to be told; a forward is another host's to tell of (RFC 3461 section 5.2.7).
  asio::awaitable<void> TellSender(size_t index) {
    const RecipientCommand& command = commands_[index];
    if (!command.notify.success || envelope_.sender.empty()) co_return;
    queue::Envelope original;
    original.trace = envelope_.trace;
    original.received = services_.clock->Now();
    original.envelope_id = mail_.envelope_id;
    original.sender = envelope_.sender;
    original.recipients.push_back({command.path.text, command.notify, command.original});
    absl::StatusOr<queue::StoredMessage> notice =
        co_await net::RunBlocking(*services_.pool, [this, &original] {
          return QueueDeliveryNotice(services_.hostname, original, *content_, original.received,
                                     *services_.forwards);
        });
    if (notice.ok()) {
      services_.runner->Accept(*std::move(notice));
    } else {
      Log(Level::kError, "notification_failed", {{"trace", envelope_.trace}, {"error", notice.status()}});
    }
  }

  MailboxDelivery DeliveryTo(const v1::Mailbox& mailbox, size_t index) const {
    MailboxDelivery delivery;
    delivery.mailbox = &mailbox;
    delivery.content = &*content_;
    delivery.maildir_root = services_.maildir_root;
    delivery.host = services_.host;
    delivery.name = file_name_;
    delivery.trace = envelope_.trace;
    delivery.sender = envelope_.sender;
    delivery.client = client_.address;
    delivery.mail = &mail_;
    delivery.notify = commands_[index].notify;
    delivery.original = commands_[index].original;
    delivery.rewriting = services_.rewriting;
    delivery.state = services_.state;
    delivery.blank_first = blank_first_;
    delivery.now = services_.clock->Now();
    ReceivedBy received;
    received.hello = client_.hello;
    received.client_address = client_.address;
    received.hostname = services_.hostname;
    received.with = mail_.utf8 ? "UTF8LMTP" : "LMTP";
    if (!cipher_.empty()) received.with += "S";
    received.cipher = cipher_;
    received.id = envelope_.trace;
    received.recipient = envelope_.recipients[index];
    received.time = delivery.now;
    delivery.received = FormatReceived(received);
    return delivery;
  }

  const StoreServices services_;
  policy::Client client_;
  std::string cipher_;  // of TLS; empty in clear
  MailCommand mail_;
  policy::Envelope envelope_;
  std::vector<v1::Mailbox> mailboxes_;      // of the recipients, in their order
  std::vector<RecipientCommand> commands_;  // they were named by
  std::optional<ContentSpool> content_;
  bool blank_first_ = false;
  std::string file_name_;  // in Maildirs; empty: a new one each time
  absl::Status failure_;
  Reply refusal_;
};

}  // namespace

std::unique_ptr<Handler> MakeLmtpHandler(const StoreServices& services, const net::Peer& peer) {
  return std::make_unique<LmtpHandler>(services, peer);
}

}  // namespace prov::smtp
