#include "agents/moves/transfer_service.h"

#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agents/mail/maildir/departure.h"
#include "common/grpc_status.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::moves {
namespace {

constexpr size_t kPieceOctets = 64 << 10;

maildir::MessageFile FileOf(const v1::MessageFile& proto) {
  return {proto.seen(), proto.file_name(), static_cast<uint64_t>(proto.octets())};
}

absl::Status CheckCount(int files) {
  if (files <= kMostFilesInRequest) return absl::OkStatus();
  return InvalidField("messages", fmt::format("are {}; name at most {}", files, kMostFilesInRequest));
}

}  // namespace

absl::StatusOr<v1::MailboxTransit> TransferService::Admit(const grpc::ServerContext& context,
                                                          const std::string& move) const {
  const auto peer = context.auth_context();
  if (peer == nullptr) return absl::UnauthenticatedError("no certificate");
  PROV_ASSIGN_OR_RETURN(const PeerIdentity caller, IdentityOf(*peer));
  PROV_ASSIGN_OR_RETURN(v1::MailboxTransit transit, state_.FindMailboxTransit(move));
  PROV_ASSIGN_OR_RETURN(const v1::PoolMembers pool, state_.FindPool(v1::STORE, transit.to_pool()));
  const bool member = std::any_of(pool.members().begin(), pool.members().end(),
                                  [&](const auto& one) { return one.host() == caller.name; });
  if (caller.role == "agent" && member) return transit;
  Log(Level::kWarning, "transfer_refused",
      {{"move", move}, {"caller", caller.role + "/" + caller.name}, {"peer", context.peer()}});
  return absl::PermissionDeniedError("the caller is no host of the pool that the mailbox moves to");
}

grpc::Status TransferService::ListMessages(grpc::ServerContext* context,
                                           const v1::ListMessagesRequest* request,
                                           grpc::ServerWriter<v1::ListMessagesResponse>* writer) {
  const auto list = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const v1::MailboxTransit transit, Admit(*context, request->move()));
    PROV_ASSIGN_OR_RETURN(const auto files,
                          AsOwner([&] { return maildir::ListMessages(root_, transit.mailbox_id()); }));
    v1::ListMessagesResponse page;
    for (const maildir::MessageFile& file : files) {
      v1::MessageFile* proto = page.add_messages();
      proto->set_seen(file.in_cur);
      proto->set_file_name(file.name);
      proto->set_octets(static_cast<int64_t>(file.octets));
      if (page.messages_size() < kMostFilesInRequest) continue;
      if (!writer->Write(page)) return absl::CancelledError("the caller has gone");
      page.Clear();
    }
    return writer->Write(page) ? absl::OkStatus() : absl::CancelledError("the caller has gone");
  };
  return ToGrpcStatus(list());
}

absl::Status TransferService::SendMessage(const v1::MailboxTransit& transit,
                                          const v1::FetchMessagesRequest& request, int index,
                                          grpc::ServerWriter<v1::FetchMessagesResponse>& writer) const {
  const auto file = AsOwner(
      [&] { return maildir::OpenMessage(root_, transit.mailbox_id(), FileOf(request.messages(index))); });
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(file.status());
  v1::FetchMessagesResponse piece;
  piece.set_index(static_cast<uint32_t>(index));
  for (;;) {
    piece.mutable_data()->resize(kPieceOctets);
    const ssize_t got = read(file->get(), piece.mutable_data()->data(), kPieceOctets);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read " + request.messages(index).file_name());
    piece.mutable_data()->resize(static_cast<size_t>(got));
    piece.set_last(got == 0);
    if (!writer.Write(piece)) return absl::CancelledError("the caller has gone");
    if (got == 0) return absl::OkStatus();
  }
}

grpc::Status TransferService::FetchMessages(grpc::ServerContext* context,
                                            const v1::FetchMessagesRequest* request,
                                            grpc::ServerWriter<v1::FetchMessagesResponse>* writer) {
  const auto fetch = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const v1::MailboxTransit transit, Admit(*context, request->move()));
    PROV_RETURN_IF_ERROR(CheckCount(request->messages_size()));
    for (int i = 0; i < request->messages_size(); ++i)
      PROV_RETURN_IF_ERROR(SendMessage(transit, *request, i, *writer));
    return absl::OkStatus();
  };
  return ToGrpcStatus(fetch());
}

grpc::Status TransferService::HoldMailbox(grpc::ServerContext* context, const v1::HoldMailboxRequest* request,
                                          v1::HoldMailboxResponse*) {
  const auto hold = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const v1::MailboxTransit transit, Admit(*context, request->move()));
    if (!transit.switching()) {
      return absl::FailedPreconditionError("this host's view does not say yet that the mailbox is switching");
    }
    return AsOwner([&] { return maildir::HoldMailbox(root_, transit.mailbox_id()); });
  };
  return ToGrpcStatus(hold());
}

grpc::Status TransferService::ReleaseMessages(grpc::ServerContext* context,
                                              const v1::ReleaseMessagesRequest* request,
                                              v1::ReleaseMessagesResponse* response) {
  const auto release = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const v1::MailboxTransit transit, Admit(*context, request->move()));
    PROV_RETURN_IF_ERROR(CheckCount(request->messages_size()));
    if (!transit.switching()) return absl::FailedPreconditionError("the mailbox is not switching");
    std::vector<maildir::MessageFile> files;
    for (const v1::MessageFile& file : request->messages()) files.push_back(FileOf(file));
    PROV_ASSIGN_OR_RETURN(const bool gone, AsOwner([&] {
                            return maildir::ReleaseMessages(root_, transit.mailbox_id(), files);
                          }));
    response->set_gone(gone);
    return absl::OkStatus();
  };
  return ToGrpcStatus(release());
}

}  // namespace prov::moves
