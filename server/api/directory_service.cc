#include "server/api/directory_service.h"

#include <chrono>
#include <utility>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using directory::DirectoryDifference;
using directory::Verification;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick(500);  // between two signs of life, and two looks whether the caller has gone
constexpr std::chrono::seconds kSettlePatience(60);

v1::DirectoryProgress::Difference::Kind KindOf(DirectoryDifference::Kind kind) {
  switch (kind) {
    case DirectoryDifference::Kind::kMissing:
      return v1::DirectoryProgress::Difference::MISSING;
    case DirectoryDifference::Kind::kExtra:
      return v1::DirectoryProgress::Difference::EXTRA;
    case DirectoryDifference::Kind::kDifferent:
      return v1::DirectoryProgress::Difference::DIFFERENT;
  }
  return v1::DirectoryProgress::Difference::KIND_UNSPECIFIED;
}

absl::Status Gone() { return absl::CancelledError("the caller has gone"); }

absl::Status Busy() {
  return absl::AbortedError("another comparison of the directory is under way; try again when it has ended");
}

}  // namespace

grpc::Status DirectoryService::VerifyDirectory(grpc::ServerContext* context,
                                               const v1::VerifyDirectoryRequest*, Writer* writer) {
  const auto verify = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller,
                          parts_.authoriser->Authorise(*context, "/prov.v1.Directory/VerifyDirectory"));
    const std::unique_lock lock(comparing_, std::try_to_lock);
    if (!lock.owns_lock()) return Busy();
    PROV_ASSIGN_OR_RETURN(const Verification result, Verify(*context, caller, *writer));
    v1::DirectoryProgress last;
    last.set_entries_compared(result.entries_compared);
    last.set_entries_total(result.entries_compared);
    last.set_done(true);
    return writer->Write(last) ? absl::OkStatus() : Gone();
  };
  return ToGrpcStatus(verify());
}

grpc::Status DirectoryService::RepairDirectory(grpc::ServerContext* context,
                                               const v1::RepairDirectoryRequest* request, Writer* writer) {
  constexpr std::string_view kMethod = "/prov.v1.Directory/RepairDirectory";
  const auto repair = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller, parts_.authoriser->Authorise(*context, kMethod));
    PROV_RETURN_IF_ERROR(model::CheckRequestId(request->request_id()));
    const std::unique_lock lock(comparing_, std::try_to_lock);
    if (!lock.owns_lock()) return Busy();
    PROV_RETURN_IF_ERROR(Record(caller, kMethod, request->request_id()));
    PROV_ASSIGN_OR_RETURN(const Verification result, Verify(*context, caller, *writer));
    return Mend(*context, caller, *writer, result.entries_compared);
  };
  return ToGrpcStatus(repair());
}

grpc::Status DirectoryService::RebuildDirectory(grpc::ServerContext* context,
                                                const v1::RebuildDirectoryRequest* request, Writer* writer) {
  constexpr std::string_view kMethod = "/prov.v1.Directory/RebuildDirectory";
  const auto rebuild = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller, parts_.authoriser->Authorise(*context, kMethod));
    PROV_RETURN_IF_ERROR(model::CheckRequestId(request->request_id()));
    const std::unique_lock lock(comparing_, std::try_to_lock);
    if (!lock.owns_lock()) return Busy();
    PROV_RETURN_IF_ERROR(Record(caller, kMethod, request->request_id()));
    return Mend(*context, caller, *writer, 0);
  };
  return ToGrpcStatus(rebuild());
}

absl::StatusOr<Verification> DirectoryService::Verify(grpc::ServerContext& context, const Caller& caller,
                                                      Writer& writer) {
  uint64_t total = 0;
  {
    PROV_ASSIGN_OR_RETURN(const auto snapshot, parts_.snapshots->OpenSnapshot());
    PROV_ASSIGN_OR_RETURN(total, snapshot->EstimatedSubscribers());
  }
  auto told = steady_clock::now();
  directory::VerifyHooks hooks;
  hooks.progress = [&](const Verification& so_far, const std::vector<DirectoryDifference>& found) {
    PROV_RETURN_IF_ERROR(MayGoOn(context, caller));
    if (found.empty() && steady_clock::now() - told < kTick) return absl::OkStatus();
    told = steady_clock::now();
    v1::DirectoryProgress progress;
    progress.set_entries_compared(so_far.entries_compared);
    progress.set_entries_total(std::max(total, so_far.entries_compared));
    for (const DirectoryDifference& one : found) {
      auto* difference = progress.add_differences();
      difference->set_kind(KindOf(one.kind));
      difference->set_dn(one.dn);
      for (const std::string& attribute : one.attributes) difference->add_attributes(attribute);
    }
    return writer.Write(progress) ? absl::OkStatus() : Gone();
  };
  hooks.settle = [&](uint64_t revision) { return Settle(context, caller, revision); };
  return directory::VerifyDirectory(*parts_.snapshots, parts_.options, hooks);
}

// Of a call that takes long: the caller is still there, and still trusted.
absl::Status DirectoryService::MayGoOn(const grpc::ServerContext& context, const Caller& caller) const {
  if (context.IsCancelled()) return Gone();
  return parts_.authoriser->CheckTrust(caller);
}

absl::Status DirectoryService::Settle(const grpc::ServerContext& context, const Caller& caller,
                                      uint64_t revision) const {
  const auto until = steady_clock::now() + kSettlePatience;
  while (parts_.publisher->WaitApplied(revision, kTick) < revision) {
    PROV_RETURN_IF_ERROR(MayGoOn(context, caller));
    if (steady_clock::now() < until) continue;
    return absl::UnavailableError(
        "the publisher does not move, so nothing can be compared; see provctl status");
  }
  return absl::OkStatus();
}

absl::Status DirectoryService::Mend(grpc::ServerContext& context, const Caller& caller, Writer& writer,
                                    uint64_t entries) {
  const uint64_t pass = parts_.publisher->RequestPass();
  v1::DirectoryProgress progress;
  progress.set_entries_compared(entries);
  progress.set_entries_total(entries);
  for (;;) {
    PROV_ASSIGN_OR_RETURN(const bool ended, parts_.publisher->WaitPass(pass, kTick));
    if (ended) break;
    PROV_RETURN_IF_ERROR(MayGoOn(context, caller));
    if (!writer.Write(progress)) return Gone();
  }
  progress.set_done(true);
  return writer.Write(progress) ? absl::OkStatus() : Gone();
}

absl::Status DirectoryService::Record(const Caller& caller, std::string_view method,
                                      const std::string& request_id) const {
  store::AuditRecord record;
  record.caller = caller.ToString();
  record.peer = caller.peer;
  record.method = std::string(method);
  record.resource = "directory";
  record.request_id = request_id;
  return parts_.audit->Record(record);
}

}  // namespace prov::api
