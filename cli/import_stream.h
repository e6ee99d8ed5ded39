// Rows on their way to provd: in requests, a few of them unanswered at a time, sent again when provd goes
// away.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "cli/import_file.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {

class ImportStream {
 public:
  struct Options {
    bool validate_only = false;
    std::chrono::milliseconds patience{0};  // with a provd that is away, or that does not answer
  };
  // Rows that provd has answered, in order, with the answer: results[i] is of rows[i].
  using Answered = std::function<absl::Status(const std::vector<FileRow>& rows,
                                              const v1::ImportSubscribersResponse& response)>;

  ImportStream(std::shared_ptr<grpc::Channel> channel, Options options, Answered answered);
  ~ImportStream();

  // The row must have been read without error.
  absl::Status Add(FileRow row);
  // Sends what is left, and returns when all is answered.
  absl::Status Finish();

 private:
  struct Request {
    std::vector<FileRow> rows;
    v1::ImportSubscribersRequest message;
  };
  struct Connection;

  absl::Status Send();
  absl::Status TakeAnswer();
  absl::Status Reconnect(const absl::Status& why);

  const std::shared_ptr<grpc::Channel> channel_;
  const Options options_;
  const Answered answered_;
  Request next_;
  size_t next_octets_ = 0;
  std::deque<Request> unanswered_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace prov::cli
