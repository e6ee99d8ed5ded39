// A mailbox at its old place, as the host that fetches it sees it.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/maildir/message_file.h"
#include "common/grpc_tls.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::moves {

// Not thread-safe. Errors are those of prov.v1.MailboxTransfer, and UNAVAILABLE when no host answers.
class TransferSource {
 public:
  virtual ~TransferSource() = default;
  virtual absl::StatusOr<std::vector<maildir::MessageFile>> List() = 0;
  // For each of `files` that is still there, in order: `begin`, then `append` with its pieces, then `end`.
  struct Sink {
    std::function<absl::Status(const maildir::MessageFile& file)> begin;
    std::function<absl::Status(std::string_view data)> append;
    std::function<absl::Status()> end;
  };
  virtual absl::Status Fetch(const std::vector<maildir::MessageFile>& files, const Sink& sink) = 0;
  virtual absl::Status Hold() = 0;
  // Whether nothing is left.
  virtual absl::StatusOr<bool> Release(const std::vector<maildir::MessageFile>& files) = 0;
};

// A connection to a host of `pool` that answers, and is verified to be that host.
absl::StatusOr<std::shared_ptr<grpc::Channel>> DialPool(const v1::PoolMembers& pool, const TlsFiles& tls);

std::unique_ptr<TransferSource> SourceAt(const std::shared_ptr<grpc::Channel>& channel,
                                         const std::string& move);

}  // namespace prov::moves
