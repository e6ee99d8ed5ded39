// directory verify, directory repair, directory rebuild.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "common/status.h"
#include "prov/v1/directory.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Directory;
using v1::DirectoryProgress;

struct Nothing {};

std::string_view KindText(DirectoryProgress::Difference::Kind kind) {
  switch (kind) {
    case DirectoryProgress::Difference::MISSING:
      return "missing";
    case DirectoryProgress::Difference::EXTRA:
      return "extra";
    default:
      return "different";
  }
}

void ShowDifference(const DirectoryProgress::Difference& difference) {
  std::string attributes;
  for (const std::string& name : difference.attributes()) attributes += " " + Safe(name);
  fmt::print("{:9}  {}{}{}\n", KindText(difference.kind()), Safe(difference.dn()),
             attributes.empty() ? "" : " :", attributes);
}

void ShowProgress(const Session& session, const DirectoryProgress& progress) {
  if (session.options.quiet || isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r{} of about {} entries compared\033[K{}", progress.entries_compared(),
             progress.entries_total(), progress.done() ? "\n" : "");
}

// Prints differences as they come; a line of JSON for each message. It takes as long as it takes: --timeout
// is for calls that answer at once.
template <typename Request>
absl::Status Follow(Session& session,
                    std::unique_ptr<grpc::ClientReader<DirectoryProgress>> (Directory::Stub::*method)(
                        grpc::ClientContext*, const Request&),
                    const Request& request, uint64_t& differences) {
  auto stub = Directory::NewStub(session.channel());
  grpc::ClientContext context;
  const auto reader = (stub.get()->*method)(&context, request);
  DirectoryProgress progress;
  bool done = false;
  while (reader->Read(&progress)) {
    done = progress.done();
    differences += static_cast<uint64_t>(progress.differences_size());
    if (session.format() == Format::kJson) {
      fmt::print("{}", ToJson(progress));
    } else {
      for (const auto& one : progress.differences()) ShowDifference(one);
      ShowProgress(session, progress);
    }
    std::fflush(stdout);
  }
  PROV_RETURN_IF_ERROR(FromGrpcStatus(reader->Finish()));
  return done ? absl::OkStatus() : absl::UnavailableError("provd stopped before the end; try again");
}

void Say(const Session& session, const std::string& text) {
  if (session.format() == Format::kTable && !session.options.quiet) fmt::print("{}\n", text);
}

absl::Status RunVerify(Session& session, const Nothing&) {
  uint64_t differences = 0;
  PROV_RETURN_IF_ERROR(
      Follow(session, &Directory::Stub::VerifyDirectory, v1::VerifyDirectoryRequest(), differences));
  if (differences == 0) {
    Say(session, "the directory says what the database says");
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("{} entries differ; provctl directory repair mends them", differences));
}

absl::Status RunRepair(Session& session, const Nothing&) {
  uint64_t differences = 0;
  v1::RepairDirectoryRequest request;
  request.set_request_id(session.request_id());
  PROV_RETURN_IF_ERROR(Follow(session, &Directory::Stub::RepairDirectory, request, differences));
  Say(session, differences == 0 ? "nothing differed" : fmt::format("{} entries mended", differences));
  return absl::OkStatus();
}

absl::Status RunRebuild(Session& session, const Nothing&) {
  uint64_t differences = 0;
  v1::RebuildDirectoryRequest request;
  request.set_request_id(session.request_id());
  PROV_RETURN_IF_ERROR(Follow(session, &Directory::Stub::RebuildDirectory, request, differences));
  Say(session, "the directory is whole");
  return absl::OkStatus();
}

}  // namespace

void AddDirectoryCommands(CLI::App& app, Action& chosen) {
  CLI::App* group =
      app.add_subcommand("directory", "Compare the LDAP directory with the database, and mend it.");
  group->footer(std::string("Example:\n  provctl directory verify\n\n") + kSeeGlobal);
  group->require_subcommand(1);
  AddCommand(*group, chosen, "verify",
             "Compare every entry and change nothing; status 9 if any differs.\n"
             "Example: provctl directory verify",
             std::make_shared<Nothing>(), RunVerify);
  AddCommand(*group, chosen, "repair",
             "Compare every entry and mend what differs.\nExample: provctl directory repair",
             std::make_shared<Nothing>(), RunRepair);
  AddCommand(*group, chosen, "rebuild",
             "Fill a directory that was wiped, now rather than when it is noticed.\n"
             "Example: provctl directory rebuild",
             std::make_shared<Nothing>(), RunRebuild);
}

}  // namespace prov::cli
