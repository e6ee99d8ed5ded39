// prov.v1.Directory: the directory compared with the truth, and mended.
#pragma once

#include <mutex>

#include "prov/v1/directory.grpc.pb.h"
#include "server/api/authorise.h"
#include "server/directory/publisher.h"
#include "server/directory/verifier.h"
#include "server/store/audit_repository.h"
#include "server/store/read_snapshot.h"

namespace prov::api {

// Thread-safe. One comparison at a time: each reads everything twice, here and in slapd. Others get ABORTED.
class DirectoryService final : public v1::Directory::Service {
 public:
  struct Parts {
    const Authoriser* authoriser = nullptr;
    store::SnapshotSource* snapshots = nullptr;
    store::AuditRepository* audit = nullptr;
    directory::Publisher* publisher = nullptr;
    directory::Publisher::Options options;  // the publisher's
  };
  // All parts must outlive the service.
  explicit DirectoryService(Parts parts) : parts_(std::move(parts)) {}

  grpc::Status VerifyDirectory(grpc::ServerContext* context, const v1::VerifyDirectoryRequest* request,
                               grpc::ServerWriter<v1::DirectoryProgress>* writer) override;
  grpc::Status RepairDirectory(grpc::ServerContext* context, const v1::RepairDirectoryRequest* request,
                               grpc::ServerWriter<v1::DirectoryProgress>* writer) override;
  grpc::Status RebuildDirectory(grpc::ServerContext* context, const v1::RebuildDirectoryRequest* request,
                                grpc::ServerWriter<v1::DirectoryProgress>* writer) override;

 private:
  using Writer = grpc::ServerWriter<v1::DirectoryProgress>;

  absl::StatusOr<directory::Verification> Verify(grpc::ServerContext& context, const Caller& caller,
                                                 Writer& writer);
  absl::Status Mend(grpc::ServerContext& context, const Caller& caller, Writer& writer, uint64_t entries);
  absl::Status MayGoOn(const grpc::ServerContext& context, const Caller& caller) const;
  absl::Status Settle(const grpc::ServerContext& context, const Caller& caller, uint64_t revision) const;
  absl::Status Record(const Caller& caller, std::string_view method, const std::string& request_id) const;

  const Parts parts_;
  std::mutex comparing_;
};

}  // namespace prov::api
