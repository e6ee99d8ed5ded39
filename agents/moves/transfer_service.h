// prov.v1.MailboxTransfer: lets the hosts of another pool fetch a mailbox that moves there.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agents/drivers/file_owner.h"
#include "agents/state/reader.h"
#include "common/grpc_tls.h"
#include "prov/v1/mailbox_transfer.grpc.pb.h"

namespace prov::moves {

constexpr int kMostFilesInRequest = 1000;

// Thread-safe. Which moves there are, and who is in which pool, is as the host's copy of its view says.
class TransferService final : public v1::MailboxTransfer::Service {
 public:
  // `owner` owns the maildirs below `root`; nothing: this process's user.
  TransferService(state::StateReader& state, std::string root, std::optional<drivers::FileOwner> owner)
      : state_(state), root_(std::move(root)), owner_(owner) {}

  grpc::Status ListMessages(grpc::ServerContext* context, const v1::ListMessagesRequest* request,
                            grpc::ServerWriter<v1::ListMessagesResponse>* writer) override;
  grpc::Status FetchMessages(grpc::ServerContext* context, const v1::FetchMessagesRequest* request,
                             grpc::ServerWriter<v1::FetchMessagesResponse>* writer) override;
  grpc::Status HoldMailbox(grpc::ServerContext* context, const v1::HoldMailboxRequest* request,
                           v1::HoldMailboxResponse* response) override;
  grpc::Status ReleaseMessages(grpc::ServerContext* context, const v1::ReleaseMessagesRequest* request,
                               v1::ReleaseMessagesResponse* response) override;

 private:
  // Nothing that calls gRPC, whose threads would inherit the user.
  template <typename Work>
  auto AsOwner(const Work& work) const -> decltype(work()) {
    const drivers::ActAs owner(owner_);
    if (!owner.ok()) return absl::PermissionDeniedError("cannot act as the engine's user");
    return work();
  }
  // The move, if the caller is a host of the pool that the mailbox moves to.
  absl::StatusOr<v1::MailboxTransit> Admit(const grpc::ServerContext& context, const std::string& move) const;
  absl::Status SendMessage(const v1::MailboxTransit& transit, const v1::FetchMessagesRequest& request,
                           int index, grpc::ServerWriter<v1::FetchMessagesResponse>& writer) const;

  state::StateReader& state_;
  const std::string root_;
  const std::optional<drivers::FileOwner> owner_;
};

}  // namespace prov::moves
