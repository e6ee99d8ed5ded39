// move-mailbox, list-moves, show-move, cancel-move.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "cli/commands.h"
#include "cli/moment.h"
#include "cli/resource_calls.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Fleet;
using v1::MailboxMove;

// Between two looks at a move that is waited for.
constexpr std::chrono::milliseconds kLookInterval(500);

struct MoveOptions {
  std::string login, to_pool;
};
struct IdOptions {
  std::string id;
};
struct ListOptions {
  bool all = false;
};

std::string StateText(const MailboxMove& move) {
  std::string text = MailboxMove::State_Name(move.state());
  absl::AsciiStrToLower(&text);
  return text;
}

std::string CopiedText(const MailboxMove& move) {
  if (move.octets_total() == 0) return "";
  return fmt::format("{} of {}", SizeText(move.octets_copied()), SizeText(move.octets_total()));
}

bool IsOpen(const MailboxMove& move) {
  return move.state() == MailboxMove::COPYING || move.state() == MailboxMove::SWITCHING;
}

absl::Status Read(Session& session, Fleet::Stub& stub, const std::string& name, MailboxMove* move) {
  v1::GetMailboxMoveRequest request;
  request.set_name(name);
  return session.Invoke(
      [&](grpc::ClientContext* context) { return stub.GetMailboxMove(context, request, move); });
}

// With --wait: until the mailbox is at its new place, told of on standard error.
absl::Status WaitUntilMoved(Session& session, Fleet::Stub& stub, MailboxMove* move) {
  const auto until = std::chrono::steady_clock::now() + session.timeout();
  std::string told;
  for (;;) {
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(Read(session, stub, move->name(), move));
    std::string now = fmt::format("{} {}{}", StateText(*move), CopiedText(*move),
                                  move->error().empty() ? "" : "; waits: " + Safe(move->error()));
    if (now != told && !session.options.quiet) fmt::print(stderr, "{}: {}\n", move->name(), now);
    told = std::move(now);
    if (!IsOpen(*move)) return absl::OkStatus();
    if (std::chrono::steady_clock::now() >= until) {
      return FieldError(
          absl::StatusCode::kDeadlineExceeded, "", "NOT_CONVERGED",
          fmt::format("{} is not done yet, and goes on by itself; provctl show-move {} tells how far",
                      move->name(), ShortName(move->name())));
    }
    std::this_thread::sleep_for(kLookInterval);
  }
}

absl::Status RunMove(Session& session, const MoveOptions& o) {
  if (!IsValidUtf8(o.login)) return InvalidField("subscriber", "is not valid UTF-8");
  if (!IsValidUtf8(o.to_pool)) return InvalidField("to_pool", "is not valid UTF-8");
  v1::MoveMailboxRequest request;
  request.set_subscriber("subscribers/" + o.login);
  request.set_to_pool("pools/" + o.to_pool);
  auto stub = Fleet::NewStub(session.channel());
  MailboxMove move;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::MoveMailbox, request, &move));
  absl::Status waited = absl::OkStatus();
  if (session.options.wait && !session.options.dry_run) waited = WaitUntilMoved(session, *stub, &move);
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(move));
  } else if (!session.options.quiet && waited.ok()) {
    const std::string_view done = IsOpen(move)                             ? "began to move"
                                  : move.state() == MailboxMove::CANCELLED ? "did not move"
                                                                           : "moved";
    fmt::print("{}\n",
               WriteText(session, done, fmt::format("{}, {}", Safe(o.login), move.name()), move.revision()));
  }
  return waited;
}

absl::Status RunShow(Session& session, const IdOptions& o) {
  if (!IsValidUtf8(o.id)) return InvalidField("name", "is not valid UTF-8");
  auto stub = Fleet::NewStub(session.channel());
  MailboxMove move;
  PROV_RETURN_IF_ERROR(Read(session, *stub, "moves/" + o.id, &move));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(move));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"move", ShortName(move.name())},
                                                             {"subscriber", ShortName(move.subscriber())},
                                                             {"from", ShortName(move.from_pool())},
                                                             {"to", ShortName(move.to_pool())},
                                                             {"state", StateText(move)},
                                                             {"copied", CopiedText(move)},
                                                             {"begun", MomentText(move.create_time())},
                                                             {"heard of", MomentText(move.update_time())}};
  if (!move.error().empty()) fields.emplace_back("waits", move.error());
  fmt::print("{}", ToList(fields));
  return absl::OkStatus();
}

absl::Status RunList(Session& session, const ListOptions& o) {
  auto stub = Fleet::NewStub(session.channel());
  v1::ListMailboxMovesRequest request;
  request.set_open_only(!o.all);
  v1::ListMailboxMovesResponse all;
  PROV_RETURN_IF_ERROR(ListAll(session, *stub, &Fleet::Stub::ListMailboxMoves, request, &all));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const MailboxMove& move : all.moves()) {
    rows.push_back({ShortName(move.name()), ShortName(move.subscriber()), ShortName(move.from_pool()),
                    ShortName(move.to_pool()), StateText(move), CopiedText(move), move.error()});
  }
  fmt::print("{}", ToTable({"MOVE", "SUBSCRIBER", "FROM", "TO", "STATE", "COPIED", "WAITS FOR"}, rows));
  return absl::OkStatus();
}

absl::Status RunCancel(Session& session, const IdOptions& o) {
  if (!IsValidUtf8(o.id)) return InvalidField("name", "is not valid UTF-8");
  v1::CancelMailboxMoveRequest request;
  request.set_name("moves/" + o.id);
  auto stub = Fleet::NewStub(session.channel());
  MailboxMove move;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Fleet::Stub::CancelMailboxMove, request, &move));
  return ReportWritten(session, "cancelled", move.name(), move);
}

}  // namespace

void AddMoveCommands(CLI::App& app, Action& chosen) {
  auto move = std::make_shared<MoveOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "move-mailbox",
                 "Take a mailbox to another store pool. Its hosts do it by themselves; mail keeps coming in, "
                 "and no program "
                 "downloads anything twice. --wait waits until it is there.\n"
                 "Example: provctl move-mailbox alice@example.net --to second --wait --timeout 10m",
                 move, RunMove);
  command->add_option("login", move->login, "of the subscriber")->required();
  command->add_option("--to", move->to_pool, "a pool of role store")->required();

  auto list = std::make_shared<ListOptions>();
  AddCommand(app, chosen, "list-moves",
             "List mailboxes that are on their way, the newest first.\nExample: provctl list-moves --all",
             list, RunList)
      ->add_flag("--all", list->all, "those that have ended, too");

  auto show = std::make_shared<IdOptions>();
  AddCommand(app, chosen, "show-move",
             "Show how far a mailbox is on its way, and what it waits for.\nExample: provctl show-move 17",
             show, RunShow)
      ->add_option("id", show->id, "of the move")
      ->required();

  auto cancel = std::make_shared<IdOptions>();
  AddCommand(
      app, chosen, "cancel-move",
      "Leave a mailbox where it is, while its mail is still being copied.\nExample: provctl cancel-move 17",
      cancel, RunCancel)
      ->add_option("id", cancel->id, "of the move")
      ->required();
}

}  // namespace prov::cli
