#include "cli/import_stream.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "common/grpc_status.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr int kRowsPerRequest = 500;             // provd takes no more
constexpr size_t kOctetsPerRequest = 512 << 10;  // well below what provd takes
// One is written to the database while the next one is on its way.
constexpr size_t kMostUnanswered = 3;
constexpr std::chrono::milliseconds kFirstPause(100);
constexpr std::chrono::milliseconds kLongestPause(2000);

}  // namespace

struct ImportStream::Connection {
  explicit Connection(const std::shared_ptr<grpc::Channel>& channel)
      : stub(v1::Subscribers::NewStub(channel)) {
    stream = stub->ImportSubscribers(&context);
  }
  ~Connection() {
    if (finished) return;
    context.TryCancel();
    (void)stream->Finish();  // its status is that of the cancelling
  }
  absl::Status Finish() {
    finished = true;
    return FromGrpcStatus(stream->Finish());
  }

  std::unique_ptr<v1::Subscribers::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ImportSubscribersRequest, v1::ImportSubscribersResponse>>
      stream;
  bool finished = false;
};

ImportStream::ImportStream(std::shared_ptr<grpc::Channel> channel, Options options, Answered answered)
    : channel_(std::move(channel)), options_(options), answered_(std::move(answered)) {}

ImportStream::~ImportStream() = default;

absl::Status ImportStream::Add(FileRow row) {
  next_octets_ += row.row->ByteSizeLong();
  *next_.message.add_rows() = *row.row;
  next_.rows.push_back(std::move(row));
  if (next_.message.rows_size() < kRowsPerRequest && next_octets_ < kOctetsPerRequest)
    return absl::OkStatus();
  return Send();
}

absl::Status ImportStream::Finish() {
  if (!next_.rows.empty()) PROV_RETURN_IF_ERROR(Send());
  while (!unanswered_.empty()) PROV_RETURN_IF_ERROR(TakeAnswer());
  if (connection_ == nullptr) return absl::OkStatus();
  connection_->stream->WritesDone();
  return connection_->Finish();
}

absl::Status ImportStream::Send() {
  while (unanswered_.size() >= kMostUnanswered) PROV_RETURN_IF_ERROR(TakeAnswer());
  next_.message.set_validate_only(options_.validate_only);
  if (connection_ == nullptr) connection_ = std::make_unique<Connection>(channel_);
  unanswered_.push_back(std::exchange(next_, {}));
  next_octets_ = 0;
  // That it failed shows in the answer that does not come.
  connection_->stream->Write(unanswered_.back().message);
  return absl::OkStatus();
}

absl::Status ImportStream::TakeAnswer() {
  v1::ImportSubscribersResponse response;
  if (!connection_->stream->Read(&response)) return Reconnect(connection_->Finish());
  const Request& request = unanswered_.front();
  if (static_cast<size_t>(response.results_size()) != request.rows.size()) {
    return absl::InternalError("provd answered for another number of rows");
  }
  PROV_RETURN_IF_ERROR(answered_(request.rows, response));
  unanswered_.pop_front();
  return absl::OkStatus();
}

// Rows say what shall be, so those that were done without an answer may be sent again.
absl::Status ImportStream::Reconnect(const absl::Status& why) {
  absl::Status status = why.ok() ? absl::UnavailableError("provd ended the import before its end") : why;
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  for (auto pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    if (!absl::IsUnavailable(status) || std::chrono::steady_clock::now() + pause > deadline) {
      connection_.reset();
      return status;
    }
    std::this_thread::sleep_for(pause);
    // A connection is made only while somebody waits for it: gRPC has no thread of its own for that.
    channel_->WaitForConnected(std::chrono::system_clock::now() + kLongestPause);
    connection_ = std::make_unique<Connection>(channel_);
    bool sent = true;
    for (const Request& request : unanswered_) sent = sent && connection_->stream->Write(request.message);
    // Only an answer shows that provd is back.
    v1::ImportSubscribersResponse response;
    if (sent && connection_->stream->Read(&response)) {
      PROV_RETURN_IF_ERROR(answered_(unanswered_.front().rows, response));
      unanswered_.pop_front();
      return absl::OkStatus();
    }
    status = connection_->Finish();
    if (status.ok()) status = absl::UnavailableError("provd ended the import before its end");
  }
}

}  // namespace prov::cli
