// What all streaming calls share: one write at a time, one end, and nothing left behind.
//
// A stream owns itself from Start until gRPC is done with it; tasks of workers share it. gRPC operations
// are started with the mutex held: gRPC runs their reactions on threads of its own, never within the call.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cassert>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "common/grpc_status.h"
#include "server/api/authorise.h"
#include "server/api/workers.h"

namespace prov::api {

// A peer that does not read is cut off when it does not take the end of its stream for so long.
constexpr std::chrono::milliseconds kEndPatience{500};

// `Reactor` is grpc::ServerWriteReactor<Response> or grpc::ServerBidiReactor<Request, Response>.
template <typename Reactor, typename Response>
class StreamReactor : public Reactor, public std::enable_shared_from_this<StreamReactor<Reactor, Response>> {
 public:
  StreamReactor(grpc::CallbackServerContext* context, Workers& workers)
      : workers_(workers), context_(context) {}

  // Call once, before gRPC knows of the stream. `gone` is called last, from a gRPC thread.
  void Start(Caller caller, std::function<void()> gone) {
    caller_ = std::move(caller);
    self_ = this->shared_from_this();
    gone_ = std::move(gone);
  }

  // Whose it is.
  const Caller& caller() const { return caller_; }

  // Ends the stream if its caller is believed no longer.
  void EndUnlessTrusted(const Authoriser& authoriser) {
    const absl::Status status = authoriser.CheckTrust(caller_);
    if (!status.ok()) End(status);
  }

  // Ends the stream once the write under way is done; later calls change nothing.
  void End(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    EndLocked(status);
  }

 protected:
  // Called with the mutex held.
  virtual void OnWritable() = 0;  // after each write
  virtual void OnEnding() {}      // once

  // With the mutex held:
  bool ending() const { return ending_; }
  bool CanWrite() const { return !writing_ && !ending_; }
  void Write(Response response) {
    assert(CanWrite());
    response_ = std::move(response);
    writing_ = true;
    this->StartWrite(&response_);
  }
  void EndLocked(const absl::Status& status) {
    if (ending_) return;
    ending_ = true;
    status_ = ToGrpcStatus(status);
    OnEnding();
    if (!writing_) {
      this->Finish(status_);
      return;
    }
    workers_.PostAfter(kEndPatience, [self = this->shared_from_this()] { self->CutOff(); });
  }

  std::mutex mutex_;
  Workers& workers_;

 private:
  void OnWriteDone(bool ok) final {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ending_) {
      this->Finish(status_);
    } else if (!ok) {
      EndLocked(absl::CancelledError("the peer is gone"));
    } else {
      OnWritable();
    }
  }

  void OnCancel() final { End(absl::CancelledError("the call was cancelled")); }

  void OnDone() final {
    std::shared_ptr<StreamReactor> self;
    std::function<void()> gone;
    {
      const std::lock_guard lock(mutex_);
      context_ = nullptr;
      self.swap(self_);
      gone.swap(gone_);
    }
    if (gone) gone();
  }

  void CutOff() {
    const std::lock_guard lock(mutex_);
    if (context_ != nullptr && writing_) context_->TryCancel();
  }

  Caller caller_;
  grpc::CallbackServerContext* context_;  // until gRPC is done with it
  bool writing_ = false;
  bool ending_ = false;
  grpc::Status status_;
  Response response_;
  std::shared_ptr<StreamReactor> self_;
  std::function<void()> gone_;
};

}  // namespace prov::api
