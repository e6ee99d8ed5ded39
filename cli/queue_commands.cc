// queue show, queue hold, queue release, queue drop, queue flush.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/queue_selection.h"
#include "cli/resource_calls.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/mail_queues.grpc.pb.h"

namespace prov::cli {
namespace {

using google::protobuf::util::TimeUtil;
using v1::MailQueues;

struct ShowOptions {
  std::string host;
  SelectionOptions selection;
  int limit = 1000;
};

struct ChangeOptions {
  std::string host;
  SelectionOptions selection;
  bool yes = false;
};

absl::StatusOr<std::string> HostName(const std::string& host) {
  if (!IsValidUtf8(host)) return InvalidField("host", "is not valid UTF-8");
  return "hosts/" + host;
}

// "3d", "2h", "5m", "40s".
std::string SpanText(std::chrono::seconds span) {
  const int64_t seconds = std::max<int64_t>(span.count(), 0);
  if (seconds >= 2 * 86'400) return fmt::format("{}d", seconds / 86'400);
  if (seconds >= 2 * 3600) return fmt::format("{}h", seconds / 3600);
  return seconds >= 120 ? fmt::format("{}m", seconds / 60) : fmt::format("{}s", seconds);
}

std::string AgeText(const google::protobuf::Timestamp& time) {
  return SpanText(std::chrono::seconds(TimeUtil::TimestampToSeconds(TimeUtil::GetCurrentTime()) -
                                       TimeUtil::TimestampToSeconds(time)));
}

std::string DueText(const v1::QueuedMessage& message, const v1::QueuedRecipient& recipient) {
  if (message.held()) return "held";
  const int64_t left = TimeUtil::TimestampToSeconds(recipient.due_time()) -
                       TimeUtil::TimestampToSeconds(TimeUtil::GetCurrentTime());
  return left <= 0 ? "now" : "in " + SpanText(std::chrono::seconds(left));
}

// A row for each recipient; those after the first say only what differs.
void AddRows(const v1::QueuedMessage& message, std::vector<std::vector<std::string>>& rows) {
  std::string id = message.id(), age = AgeText(message.receive_time()), size = SizeText(message.octets());
  std::string sender = message.sender().empty() ? "<>" : message.sender();
  const auto add = [&](std::string due, std::string tries, std::string recipient, std::string reason) {
    rows.push_back({std::move(id), std::move(age), std::move(size), std::move(due), std::move(tries),
                    std::move(sender), std::move(recipient), std::move(reason)});
    id = age = size = sender = "";
  };
  for (const v1::QueuedRecipient& recipient : message.recipients()) {
    add(DueText(message, recipient), std::to_string(recipient.attempts()), recipient.address(),
        recipient.reason());
  }
  if (message.further_recipients() > 0)
    add("", "", fmt::format("and {} more", message.further_recipients()), "");
}

// Pages are printed as they come: a queue may be long.
class QueuePrinter {
 public:
  explicit QueuePrinter(Format format) : format_(format) {}

  void Print(const v1::ListQueuedMessagesResponse& page) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::QueuedMessage& message : page.messages()) {
      ++count_;
      if (format_ == Format::kJson) {
        fmt::print("{}{}", count_ == 1 ? "{\"messages\": [\n" : ",\n", ToJson(message));
      } else {
        AddRows(message, rows);
      }
    }
    if (!rows.empty()) fmt::print("{}", table_.Rows(rows));
    if (page.has_summary()) summary_ = page.summary();
  }

  void Finish(const std::string& host, bool quiet) const {
    if (format_ == Format::kJson) {
      fmt::print("{}], \"summary\": {}}}\n", count_ == 0 ? "{\"messages\": [" : "", ToJson(summary_));
      return;
    }
    if (quiet) return;
    if (count_ == 0) fmt::print("nothing of that kind waits on {}\n", Safe(host));
    if (summary_.cut()) fmt::print(stderr, "there are more: --limit\n");
    if (summary_.reading()) {
      fmt::print(stderr, "the engine of {} has just started and still reads its queue: there may be more\n",
                 Safe(host));
    }
  }

 private:
  const Format format_;
  Table table_{{"ID", "AGE", "SIZE", "DUE", "TRIES", "SENDER", "RECIPIENT", "LAST REPLY"}};
  size_t count_ = 0;
  v1::QueueSummary summary_;
};

absl::Status RunShow(Session& session, const ShowOptions& o) {
  v1::ListQueuedMessagesRequest request;
  PROV_ASSIGN_OR_RETURN(*request.mutable_name(), HostName(o.host));
  PROV_RETURN_IF_ERROR(SetSelection(o.selection, /*all_flag=*/false, *request.mutable_selection()));
  request.set_limit(o.limit);
  auto stub = MailQueues::NewStub(session.channel());
  QueuePrinter printer(session.format());
  bool begun = false;
  PROV_RETURN_IF_ERROR(session.Invoke([&](grpc::ClientContext* context) {
    const auto stream = stub->ListQueuedMessages(context, request);
    v1::ListQueuedMessagesResponse page;
    while (stream->Read(&page)) {
      printer.Print(page);
      begun = true;
    }
    const grpc::Status status = stream->Finish();
    // What was printed is not to be printed again.
    if (begun && status.error_code() == grpc::StatusCode::UNAVAILABLE)
      return grpc::Status(grpc::StatusCode::ABORTED, "provd broke off: " + status.error_message());
    return status;
  }));
  printer.Finish(o.host, session.options.quiet);
  return absl::OkStatus();
}

using ChangeMethod = grpc::Status (MailQueues::Stub::*)(grpc::ClientContext*,
                                                        const v1::ChangeQueuedMessagesRequest&,
                                                        v1::ChangeQueuedMessagesResponse*);

std::string ChangedText(const v1::ChangeQueuedMessagesResponse& response, std::string_view done,
                        bool dry_run) {
  std::string text = dry_run ? fmt::format("would have {} {}", done, response.changed())
                             : fmt::format("{} {}", done, response.changed());
  if (response.matched() != response.changed())
    text += fmt::format(" of {}; the others are not to be {}", response.matched(), done);
  return text;
}

absl::Status RunChange(Session& session, const ChangeOptions& o, ChangeMethod method, std::string_view done) {
  v1::ChangeQueuedMessagesRequest request;
  PROV_ASSIGN_OR_RETURN(*request.mutable_name(), HostName(o.host));
  PROV_RETURN_IF_ERROR(SetSelection(o.selection, /*all_flag=*/true, *request.mutable_selection()));
  auto stub = MailQueues::NewStub(session.channel());
  v1::ChangeQueuedMessagesResponse response;
  PROV_RETURN_IF_ERROR(session.Write(*stub, method, request, &response));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(response));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", ChangedText(response, done, session.options.dry_run));
  }
  if (response.reading()) {
    fmt::print(stderr,
               "the engine of {} has just started: what it has not read yet was not looked at; give the same "
               "command again\n",
               Safe(o.host));
  }
  if (response.matched() == 0 && !o.selection.ids.empty())
    return absl::NotFoundError(
        "none of these messages is in the queue: delivered, or given up; see provctl trace");
  return absl::OkStatus();
}

absl::Status RunHold(Session& session, const ChangeOptions& o) {
  return RunChange(session, o, &MailQueues::Stub::HoldQueuedMessages, "held");
}
absl::Status RunRelease(Session& session, const ChangeOptions& o) {
  return RunChange(session, o, &MailQueues::Stub::ReleaseQueuedMessages, "released");
}
absl::Status RunFlush(Session& session, const ChangeOptions& o) {
  return RunChange(session, o, &MailQueues::Stub::FlushQueuedMessages, "flushed");
}

absl::Status RunDrop(Session& session, const ChangeOptions& o) {
  if (!o.yes && !session.options.dry_run) {
    return InvalidField("--yes",
                        "is required: what is dropped is gone, and nobody is told; --dry-run counts it");
  }
  return RunChange(session, o, &MailQueues::Stub::DropQueuedMessages, "dropped");
}

CLI::App* AddChange(CLI::App& group, Action& chosen, const char* name, const char* description,
                    const std::shared_ptr<ChangeOptions>& options,
                    absl::Status (*run)(Session&, const ChangeOptions&)) {
  CLI::App* command = AddCommand(group, chosen, name, description, options, run);
  command->add_option("host", options->host, "whose queue")->required();
  AddSelectionOptions(*command, options->selection, /*all_flag=*/true);
  return command;
}

}  // namespace

void AddQueueCommands(CLI::App& app, Action& chosen) {
  CLI::App* group = app.add_subcommand("queue", "Show mail that waits on a relay or a store, and act on it.");
  group->footer(std::string("Example:\n  provctl queue show relay1\n\n") + kSeeGlobal);
  group->require_subcommand(1);

  auto show = std::make_shared<ShowOptions>();
  CLI::App* command = AddCommand(*group, chosen, "show",
                                 "List what waits: for whom, since when, until when, and what the next hop\n"
                                 "said last. The host is asked; provd keeps none of it.\n"
                                 "Example: provctl queue show relay1 --recipient-domain example.org",
                                 show, RunShow);
  command->add_option("host", show->host, "whose queue")->required();
  AddSelectionOptions(*command, show->selection, /*all_flag=*/false);
  command->add_option("--limit", show->limit, "at most so many messages")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();

  AddChange(*group, chosen, "hold",
            "Keep mail in the queue: it is neither tried nor given up for its age until it is\n"
            "released. Holds through restarts.\n"
            "Example: provctl queue hold relay1 --sender newsletter@example.net",
            std::make_shared<ChangeOptions>(), RunHold);
  AddChange(*group, chosen, "release",
            "Let held mail go on; it is tried at once.\n"
            "Example: provctl queue release relay1 --all",
            std::make_shared<ChangeOptions>(), RunRelease);
  auto drop = std::make_shared<ChangeOptions>();
  AddChange(*group, chosen, "drop",
            "Remove mail for good. Neither its sender nor its recipients are told; the trace\n"
            "keeps that it was dropped. Rehearse it with --dry-run.\n"
            "Example: provctl queue drop relay1 --sender spammer@example.net --yes",
            drop, RunDrop)
      ->add_flag("--yes", drop->yes, "there is no way back");
  AddChange(*group, chosen, "flush",
            "Try mail now rather than when it is due, also where the next hop did not answer a\n"
            "moment ago. Held mail stays.\n"
            "Example: provctl queue flush relay1 --recipient-domain example.org",
            std::make_shared<ChangeOptions>(), RunFlush);
}

}  // namespace prov::cli
