#include "agents/moves/transfer_source.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/grpc_status.h"
#include "common/status.h"
#include "prov/v1/mailbox_transfer.grpc.pb.h"

namespace prov::moves {
namespace {

using maildir::MessageFile;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr size_t kFilesInRequest = 1000;
constexpr uint64_t kOctetsInRequest = 256 << 20;  // so that one call, with its deadline, is not endless
constexpr seconds kConnectPatience(3);
constexpr seconds kCallPatience(60);
constexpr seconds kFetchPatience = std::chrono::minutes(30);

class GrpcSource final : public TransferSource {
 public:
  GrpcSource(const std::shared_ptr<grpc::Channel>& channel, std::string move)
      : stub_(v1::MailboxTransfer::NewStub(channel)), move_(std::move(move)) {}

  absl::StatusOr<std::vector<MessageFile>> List() override {
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + kCallPatience);
    v1::ListMessagesRequest request;
    request.set_move(move_);
    const auto stream = stub_->ListMessages(&context, request);
    std::vector<MessageFile> files;
    v1::ListMessagesResponse page;
    while (stream->Read(&page)) {
      for (const v1::MessageFile& file : page.messages())
        files.push_back(
            {file.seen(), file.file_name(), static_cast<uint64_t>(std::max<int64_t>(file.octets(), 0))});
    }
    PROV_RETURN_IF_ERROR(FromGrpcStatus(stream->Finish()));
    return files;
  }

  absl::Status Fetch(const std::vector<MessageFile>& files, const Sink& sink) override {
    for (size_t at = 0; at < files.size();) {
      v1::FetchMessagesRequest request;
      request.set_move(move_);
      uint64_t octets = 0;
      const size_t from = at;
      while (at < files.size() && at - from < kFilesInRequest && (at == from || octets < kOctetsInRequest)) {
        octets += files[at].octets;
        Add(files[at++], request.add_messages());
      }
      PROV_RETURN_IF_ERROR(FetchSome(request, files, from, sink));
    }
    return absl::OkStatus();
  }

  absl::Status Hold() override {
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + kCallPatience);
    v1::HoldMailboxRequest request;
    request.set_move(move_);
    v1::HoldMailboxResponse response;
    return FromGrpcStatus(stub_->HoldMailbox(&context, request, &response));
  }

  absl::StatusOr<bool> Release(const std::vector<MessageFile>& files) override {
    v1::ReleaseMessagesResponse response;
    for (size_t at = 0; at == 0 || at < files.size(); at += kFilesInRequest) {
      grpc::ClientContext context;
      context.set_deadline(system_clock::now() + kCallPatience);
      v1::ReleaseMessagesRequest request;
      request.set_move(move_);
      for (size_t i = at; i < std::min(files.size(), at + kFilesInRequest); ++i)
        Add(files[i], request.add_messages());
      PROV_RETURN_IF_ERROR(FromGrpcStatus(stub_->ReleaseMessages(&context, request, &response)));
    }
    return response.gone();
  }

 private:
  static void Add(const MessageFile& file, v1::MessageFile* proto) {
    proto->set_seen(file.in_cur);
    proto->set_file_name(file.name);
    proto->set_octets(static_cast<int64_t>(file.octets));
  }

  absl::Status FetchSome(const v1::FetchMessagesRequest& request, const std::vector<MessageFile>& files,
                         size_t from, const Sink& sink) {
    grpc::ClientContext context;
    context.set_deadline(system_clock::now() + kFetchPatience);
    const auto stream = stub_->FetchMessages(&context, request);
    v1::FetchMessagesResponse piece;
    int64_t open = -1;  // index of the message that is being received
    absl::Status status = absl::OkStatus();
    while (status.ok() && stream->Read(&piece)) {
      if (piece.index() >= static_cast<uint32_t>(request.messages_size()) ||
          (open >= 0 && open != static_cast<int64_t>(piece.index()))) {
        status = absl::InternalError("the other host sends pieces in no order");
        break;
      }
      if (open < 0) status = sink.begin(files[from + piece.index()]);
      open = piece.index();
      if (status.ok()) status = sink.append(piece.data());
      if (status.ok() && piece.last()) {
        status = sink.end();
        open = -1;
      }
    }
    if (!status.ok()) context.TryCancel();
    const absl::Status finished = FromGrpcStatus(stream->Finish());
    return status.ok() ? finished : status;
  }

  const std::unique_ptr<v1::MailboxTransfer::Stub> stub_;
  const std::string move_;
};

}  // namespace

std::unique_ptr<TransferSource> SourceAt(const std::shared_ptr<grpc::Channel>& channel,
                                         const std::string& move) {
  return std::make_unique<GrpcSource>(channel, move);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> DialPool(const v1::PoolMembers& pool, const TlsFiles& tls) {
  std::string tried;
  for (const v1::PoolMembers::Member& member : pool.members()) {
    const auto endpoint = member.endpoints().find("transfer");
    if (endpoint == member.endpoints().end()) continue;
    PROV_ASSIGN_OR_RETURN(const auto credentials, ClientTlsTo(tls, {"agent", member.host()}));
    auto channel = grpc::CreateChannel(endpoint->second, credentials);
    if (channel->WaitForConnected(system_clock::now() + kConnectPatience)) return channel;
    tried += (tried.empty() ? "" : ", ") + member.host();
  }
  return absl::UnavailableError(
      tried.empty() ? fmt::format("no host of pools/{} offers its mailboxes; see store.transfer_listen in "
                                  "prov-agent(8)",
                                  pool.pool())
                    : fmt::format("no host of pools/{} answers: {}", pool.pool(), tried));
}

}  // namespace prov::moves
