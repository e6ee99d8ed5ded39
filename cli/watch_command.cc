// watch.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <memory>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"

namespace prov::cli {
namespace {

struct Watch {
  uint64_t after = 0;
  bool from_now = true;
};

absl::StatusOr<uint64_t> HeadRevision(Session& session) {
  auto stub = v1::Operations::NewStub(session.channel());
  v1::Status status;
  PROV_RETURN_IF_ERROR(session.Invoke([&](grpc::ClientContext* context) {
    return stub->GetStatus(context, v1::GetStatusRequest(), &status);
  }));
  return status.head_revision();
}

void Show(const Session& session, const v1::Change& change) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(change));
  } else {
    fmt::print("{:>10}  {}  {}{}\n", change.revision(),
               google::protobuf::util::TimeUtil::ToString(change.time()), Safe(change.resource()),
               change.removed() ? "  removed" : "");
  }
  std::fflush(stdout);
}

// Until it is interrupted, or standard output is closed. A provd that goes away is waited for: the stream
// goes on behind the last revision that was told whole.
absl::Status RunWatch(Session& session, const Watch& o) {
  constexpr std::chrono::seconds kPause(1);
  uint64_t after = o.after;
  if (o.from_now) {
    PROV_ASSIGN_OR_RETURN(after, HeadRevision(session));
  }
  auto stub = v1::Operations::NewStub(session.channel());
  for (;;) {
    grpc::ClientContext context;
    v1::WatchChangesRequest request;
    request.set_after_revision(after);
    const auto stream = stub->WatchChanges(&context, request);
    v1::Change change;
    uint64_t last = after;
    while (std::ferror(stdout) == 0 && stream->Read(&change)) {
      // A revision may have several changes; the one before is whole when the next begins.
      if (change.revision() > last) after = last;
      last = change.revision();
      Show(session, change);
    }
    if (std::ferror(stdout) != 0) context.TryCancel();
    const absl::Status status = FromGrpcStatus(stream->Finish());
    if (std::ferror(stdout) != 0 || !absl::IsUnavailable(status)) return status;
    if (!session.options.quiet) {
      fmt::print(stderr, "provctl: provd has gone; watching on from revision {} when it is back\n", after);
    }
    std::this_thread::sleep_for(kPause);
    session.channel()->WaitForConnected(std::chrono::system_clock::now() + session.timeout());
  }
}

}  // namespace

void AddWatchCommand(CLI::App& app, Action& chosen) {
  auto watch = std::make_shared<Watch>();
  AddCommand(
      app, chosen, "watch",
      "Print changes as they are written: revision, time, resource; with -o json a document for each.\n"
      "Goes on until it is interrupted; begin again behind the last revision that was dealt with.\n"
      "Example: provctl watch --after 1042 -o json",
      watch, RunWatch)
      ->add_option_function<uint64_t>(
          "--after",
          [watch](const uint64_t& revision) {
            watch->after = revision;
            watch->from_now = false;
          },
          "changes of greater revisions, from the log; default: what is written from now on");
}

}  // namespace prov::cli
