#include "server/api/operations_service.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"
#include "server/api/authorise.h"
#include "server/api/change_stream.h"
#include "server/api/explainer.h"
#include "server/api/follower_translation.h"
#include "server/api/progress_stream.h"
#include "server/api/workers.h"

namespace prov::api {
namespace {

constexpr size_t kMaxStreams = 1000;
constexpr size_t kMaxStreamsPerCaller = 250;  // so that no single one takes them all
constexpr std::chrono::seconds kShutDownPatience{10};
// While somebody waits: who does not move becomes stuck by the clock alone.
constexpr std::chrono::milliseconds kTick{1000};
// While somebody waits and writes come in: one of them may have evicted the host that is waited for.
constexpr std::chrono::milliseconds kFleetInterval{250};

// A stream that ends before it began.
template <typename Response>
class RefusedStream final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace

class OperationsService::Impl final : public v1::Operations::CallbackService {
 public:
  explicit Impl(const Parts& parts) : parts_(parts) {
    convergence_subscription_ = parts_.convergence->Subscribe([this] { NoteProgress(); });
    watch_subscription_ = parts_.watch->Subscribe([this](uint64_t head) { NoteHead(head); });
    parts_.workers->Post(gate_.Wrap([this] { Tick(); }));
  }
  ~Impl() override { ShutDown(); }

  grpc::ServerWriteReactor<v1::RevisionProgress>* WaitForRevision(
      grpc::CallbackServerContext* context, const v1::WaitForRevisionRequest* request) override {
    const auto make = [&] {
      return std::make_shared<ProgressStream>(context, StreamParts(), request->revision());
    };
    return Open<ProgressStream, v1::RevisionProgress>(context, "/prov.v1.Operations/WaitForRevision", waits_,
                                                      make);
  }

  grpc::ServerWriteReactor<v1::Change>* WatchChanges(grpc::CallbackServerContext* context,
                                                     const v1::WatchChangesRequest* request) override {
    const auto make = [&] {
      return std::make_shared<ChangeStream>(context, *parts_.workers, *parts_.snapshots,
                                            request->after_revision());
    };
    return Open<ChangeStream, v1::Change>(context, "/prov.v1.Operations/WatchChanges", watches_, make);
  }

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const v1::GetStatusRequest*,
                                      v1::Status* response) override {
    const auto caller = parts_.authoriser->Authorise(*context, "/prov.v1.Operations/GetStatus");
    if (!caller.ok()) return Answer(context, caller.status());
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    parts_.workers->Post([this, reactor, response] { reactor->Finish(ToGrpcStatus(FillStatus(*response))); });
    return reactor;
  }

  grpc::ServerUnaryReactor* WhoAmI(grpc::CallbackServerContext* context, const v1::WhoAmIRequest*,
                                   v1::WhoAmIResponse* response) override {
    const auto caller = parts_.authoriser->Authorise(*context, "/prov.v1.Operations/WhoAmI");
    if (!caller.ok()) return Answer(context, caller.status());
    response->set_role(caller->role);
    response->set_caller(caller->ToString());
    for (const std::string& method : MethodsOf(caller->role)) response->add_methods(method);
    return Answer(context, absl::OkStatus());
  }

  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                    v1::Explanation* response) override {
    const auto caller = parts_.authoriser->Authorise(*context, "/prov.v1.Operations/Explain");
    if (!caller.ok()) return Answer(context, caller.status());
    if (parts_.explainer == nullptr) return Answer(context, absl::UnimplementedError("nobody to explain it"));
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    parts_.workers->Post([this, reactor, request, response] {
      const auto explanation = parts_.explainer->Explain(request->name());
      if (explanation.ok()) *response = *explanation;
      reactor->Finish(ToGrpcStatus(explanation.status()));
    });
    return reactor;
  }

  void ShutDown();
  size_t open_streams() const {
    const std::lock_guard lock(mutex_);
    return waits_.size() + watches_.size();
  }

 private:
  ProgressStream::Parts StreamParts() const {
    return {.convergence = parts_.convergence,
            .fleet = parts_.fleet,
            .workers = parts_.workers,
            .clock = parts_.clock};
  }

  // Authorises, registers and starts a stream; `streams` holds it until gRPC is done with it.
  template <typename Stream, typename Response, typename Make>
  grpc::ServerWriteReactor<Response>* Open(grpc::CallbackServerContext* context, std::string_view method,
                                           std::set<std::shared_ptr<Stream>>& streams, const Make& make) {
    const auto caller = parts_.authoriser->Authorise(*context, method);
    if (!caller.ok()) return new RefusedStream<Response>(caller.status());
    std::shared_ptr<Stream> stream;
    {
      const std::lock_guard lock(mutex_);
      if (shutting_down_) return new RefusedStream<Response>(absl::UnavailableError("provd is stopping"));
      if (waits_.size() + watches_.size() >= kMaxStreams) {
        return new RefusedStream<Response>(absl::ResourceExhaustedError("too many streams; try again later"));
      }
      const std::string name = caller->ToString();
      if (streams_of_[name] >= kMaxStreamsPerCaller) {
        return new RefusedStream<Response>(absl::ResourceExhaustedError(
            fmt::format("{} has {} streams already; end one first", name, kMaxStreamsPerCaller)));
      }
      ++streams_of_[name];
      stream = make();
      stream->Start(*caller, [this, name, &streams, weak = std::weak_ptr<Stream>(stream)] {
        const std::lock_guard lock(mutex_);
        streams.erase(weak.lock());
        if (--streams_of_[name] == 0) streams_of_.erase(name);
        quiet_.notify_all();
      });
      streams.insert(stream);
    }
    stream->Begin();
    return stream.get();  // owns itself
  }

  template <typename Stream>
  std::vector<std::shared_ptr<Stream>> All(const std::set<std::shared_ptr<Stream>>& streams) const {
    const std::lock_guard lock(mutex_);
    return {streams.begin(), streams.end()};
  }

  // Followers moved: all who wait look again, on a worker. Many moves at once make one look.
  void NoteProgress() {
    const std::lock_guard lock(mutex_);
    if (looking_ || shutting_down_ || waits_.empty()) return;
    looking_ = true;
    parts_.workers->Post(gate_.Wrap([this] { Look(); }));
  }

  void Look() {
    {
      const std::lock_guard lock(mutex_);
      looking_ = false;
    }
    for (const auto& stream : All(waits_)) stream->Look();
  }

  void NoteHead(uint64_t head) {
    parts_.convergence->SetHead(head);
    const std::lock_guard lock(mutex_);
    if (shutting_down_) return;
    head_ = std::max(head_, head);
    if (!spreading_ && !watches_.empty()) {
      spreading_ = true;
      parts_.workers->Post(gate_.Wrap([this] { SpreadHead(); }));
    }
    if (!refreshing_ && !waits_.empty()) {
      refreshing_ = true;
      parts_.workers->PostAfter(kFleetInterval, gate_.Wrap([this] { RefreshFleet(); }));
    }
  }

  void SpreadHead() {
    uint64_t head = 0;
    {
      const std::lock_guard lock(mutex_);
      spreading_ = false;
      head = head_;
    }
    for (const auto& stream : All(watches_)) stream->NoteHead(head);
  }

  void RefreshFleet() {
    {
      const std::lock_guard lock(mutex_);
      refreshing_ = false;
    }
    const auto now = parts_.fleet->Refresh();
    if (!now.ok()) Log(Level::kWarning, "fleet_not_read", {{"error", now.status()}});
  }

  void Tick() {
    for (const auto& stream : All(waits_)) stream->EndUnlessTrusted(*parts_.authoriser);
    for (const auto& stream : All(watches_)) stream->EndUnlessTrusted(*parts_.authoriser);
    // Whom they wait for may follow another provd.
    if (!All(waits_).empty()) RefreshFleet();
    Look();
    parts_.workers->PostAfter(kTick, gate_.Wrap([this] { Tick(); }));
  }

  absl::Status FillStatus(v1::Status& status) {
    PROV_ASSIGN_OR_RETURN(const feed::Feed::FleetAtHead now, parts_.fleet->Refresh());
    status.set_head_revision(now.head_revision);
    status.set_version(parts_.version);
    *status.mutable_now() = google::protobuf::util::TimeUtil::TimeTToTimestamp(
        std::chrono::system_clock::to_time_t(parts_.clock->Now()));
    const std::vector<feed::Follower> followers = parts_.convergence->Followers(now.head_revision, true);
    bool healthy = true;
    for (const feed::Follower& follower : followers) {
      *status.add_followers() = ToProto(follower);
      const bool moves =
          follower.state == feed::FollowerState::kCurrent || follower.state == feed::FollowerState::kBehind;
      healthy = healthy && moves && follower.failing_items == 0;
    }
    status.set_healthy(healthy);
    return absl::OkStatus();
  }

  const Parts parts_;
  TaskGate gate_;
  uint64_t convergence_subscription_ = 0;
  uint64_t watch_subscription_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable quiet_;
  bool shutting_down_ = false;
  bool looking_ = false;
  bool spreading_ = false;
  bool refreshing_ = false;
  uint64_t head_ = 0;
  std::set<std::shared_ptr<ProgressStream>> waits_;
  std::set<std::shared_ptr<ChangeStream>> watches_;
  std::map<std::string, size_t> streams_of_;  // by caller
};

void OperationsService::Impl::ShutDown() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(shutting_down_, true)) return;
  }
  parts_.convergence->Unsubscribe(convergence_subscription_);
  parts_.watch->Unsubscribe(watch_subscription_);
  gate_.Close();
  const absl::Status stopping = absl::UnavailableError("provd is stopping");
  for (const auto& stream : All(waits_)) stream->End(stopping);
  for (const auto& stream : All(watches_)) stream->End(stopping);
  std::unique_lock lock(mutex_);
  if (!quiet_.wait_for(lock, kShutDownPatience, [this] { return waits_.empty() && watches_.empty(); })) {
    Log(Level::kError, "operation_streams_left", {{"streams", waits_.size() + watches_.size()}});
  }
}

OperationsService::OperationsService(const Parts& parts) : impl_(std::make_unique<Impl>(parts)) {}
OperationsService::~OperationsService() = default;
grpc::Service* OperationsService::service() { return impl_.get(); }
void OperationsService::ShutDown() { impl_->ShutDown(); }
size_t OperationsService::open_streams() const { return impl_->open_streams(); }

}  // namespace prov::api
