// trace.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/moment.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/mail_queues.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::MailEvent;

struct TraceOptions {
  std::string what;
  std::string since = "1h";
  std::string host;
  int limit = 100;
};

// "mail_delivered" with a file is what a store did.
std::string EventText(const MailEvent& event) {
  const auto file = event.details().find("file");
  if (event.event() == "mail_delivered" && file != event.details().end())
    return file->second.empty() ? "forwarded" : "stored";
  return event.event().starts_with("mail_") ? event.event().substr(5) : event.event();
}

std::string RecipientsText(const MailEvent& event) {
  constexpr int kMostShown = 3;
  std::string text;
  for (int i = 0; i < std::min(event.recipients_size(), kMostShown); ++i)
    text += (i == 0 ? "" : ", ") + event.recipients(i);
  if (event.recipients_size() > kMostShown)
    text += fmt::format(" and {} more", event.recipients_size() - kMostShown);
  return text;
}

// What is worth a line: the reply, and where it came from or went to.
std::string RemarkText(const MailEvent& event) {
  std::string text = event.reply();
  for (const auto& [key, label] :
       {std::pair("client", "from"), std::pair("login", "as"), std::pair("hop", "by"),
        std::pair("file", "in"), std::pair("octets", "octets"), std::pair("by", "word of")}) {
    const auto found = event.details().find(key);
    if (found == event.details().end() || found->second.empty()) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", label, found->second);
  }
  return text;
}

// Events come message by message.
class HistoryPrinter {
 public:
  void Print(const MailEvent& event) {
    if (messages_ == 0 || event.trace() != trace_) {
      trace_ = event.trace();
      fmt::print("{}{}  from {}\n", messages_++ == 0 ? "" : "\n", Safe(trace_),
                 event.sender().empty() ? "<>" : Safe(event.sender()));
    }
    fmt::print("  {}  {:<10}  {:<9}  {:<28}  {}\n", MomentText(event.time()), Safe(event.host()),
               Safe(EventText(event)), Safe(RecipientsText(event)), Safe(RemarkText(event)));
  }
  size_t messages() const { return messages_; }

 private:
  std::string trace_;
  size_t messages_ = 0;
};

// An address has an @ in it, and an id has not.
absl::Status SetWhat(const TraceOptions& o, v1::TraceMailRequest& request) {
  if (!IsValidUtf8(o.what) || !IsValidUtf8(o.host)) return InvalidField("address", "is not valid UTF-8");
  if (o.what.find('@') != std::string::npos) {
    request.set_address(o.what);
  } else {
    request.set_trace(o.what);
  }
  if (!o.host.empty()) request.set_host("hosts/" + o.host);
  request.set_limit(o.limit);
  PROV_ASSIGN_OR_RETURN(*request.mutable_since(), ParsePast("--since", o.since));
  return absl::OkStatus();
}

// What the caller cannot see from what was printed.
absl::Status Judge(const TraceOptions& o, const v1::TraceMailResponse& answer) {
  if (answer.unanswered().empty()) return absl::OkStatus();
  for (const v1::UnansweredHost& host : answer.unanswered())
    fmt::print(stderr, "provctl: {} did not answer: {}\n", Safe(host.host()), Safe(host.reason()));
  return absl::FailedPreconditionError(
      fmt::format("what became of {} is not told in full: {} of the hosts did not answer", Safe(o.what),
                  answer.unanswered_size()));
}

absl::Status RunTrace(Session& session, const TraceOptions& o) {
  v1::TraceMailRequest request;
  PROV_RETURN_IF_ERROR(SetWhat(o, request));
  auto stub = v1::MailQueues::NewStub(session.channel());
  v1::TraceMailResponse answer;
  PROV_RETURN_IF_ERROR(session.Invoke([&](grpc::ClientContext* context) {
    answer.Clear();
    const auto stream = stub->TraceMail(context, request);
    v1::TraceMailResponse page;
    while (stream->Read(&page)) answer.MergeFrom(page);
    return stream->Finish();
  }));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(answer));
    return Judge(o, answer);
  }
  HistoryPrinter printer;
  for (const MailEvent& event : answer.events()) printer.Print(event);
  if (printer.messages() == 0 && !session.options.quiet) {
    fmt::print("no host knows of mail for or from {} since then\n", Safe(o.what));
  }
  if (answer.cut()) fmt::print(stderr, "there are older ones: --limit, or a later --since\n");
  std::fflush(stdout);
  return Judge(o, answer);
}

}  // namespace

void AddTraceCommand(CLI::App& app, Action& chosen) {
  auto trace = std::make_shared<TraceOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "trace",
                 "Say what became of mail from or to an address, or of one message: accepted, deferred,\n"
                 "delivered, stored, returned, on which host, when, and what the other side said. All\n"
                 "relays and stores are asked; status 9 if one does not answer.\n"
                 "Example: provctl trace alice@example.net --since 1h",
                 trace, RunTrace);
  command->add_option("address", trace->what, "address, or trace id as in a Received field or a log")
      ->required();
  command
      ->add_option(
          "--since", trace->since,
          "mail that something happened to since then: 90m, 12h, 7d, 2026-11-01, 2026-11-01T08:00:00Z")
      ->capture_default_str();
  command->add_option("--host", trace->host, "ask this host alone");
  command->add_option("--limit", trace->limit, "at most so many messages of each host, the newest")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace prov::cli
