#include "agents/sync/role_sync.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "common/grpc_status.h"
#include "common/log.h"
#include "common/status.h"
#include "prov/v1/agent_sync.grpc.pb.h"
#include "prov/v1/approvals.grpc.pb.h"

namespace prov::sync {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Stream = grpc::ClientReaderWriter<v1::SyncRequest, v1::SyncResponse>;

constexpr int kMaxMessageOctets = 16 << 20;
constexpr const char* kInstanceKey = "prov-agent-instance";
constexpr std::string_view kIdentityTaken = "IDENTITY_TAKEN";
constexpr milliseconds kHeldRetry = std::chrono::seconds(1);
constexpr std::chrono::seconds kApprovalPatience(3);
constexpr milliseconds kStateRetry = std::chrono::seconds(1);
constexpr int kSilentHeartbeats = 3;
// Between two looks at what is due, for the clock that says so may be set back.
constexpr milliseconds kLongestPause = std::chrono::minutes(1);
constexpr milliseconds kInspectionInterval = std::chrono::seconds(1);  // between two words of how far it is

// Nothing that a retry, or a new stream, would mend.
bool IsFatal(const absl::Status& status) { return absl::IsInternal(status) || absl::IsDataLoss(status); }

class GrpcRoleSync final : public RoleSync {
 public:
  GrpcRoleSync(RoleSyncOptions options, std::vector<drivers::Driver*> drivers, state::StateWriter& state,
               const Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        session_(WithProvdsWord(options_.session), state, clock),
        applier_(options_.session.role, drivers, state, clock, options_.applier),
        inspection_(options_.session.role, std::move(drivers), state, clock, options_.inspection),
        role_(v1::Role_Name(options_.session.role)) {
    heard_ = clock_.Monotonic();
    stream_thread_ = std::thread([this] { Follow(); });
    driver_thread_ = std::thread([this] { Drive(); });
  }

  ~GrpcRoleSync() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    Cancel();
    stream_thread_.join();
    driver_thread_.join();
  }

  void CheckSilence() override {
    const milliseconds limit =
        std::max(options_.longest_silence, session_.heartbeat_interval() * kSilentHeartbeats);
    if (clock_.Monotonic() - heard_.load() <= limit) return;
    Log(Level::kWarning, "sync_silent", {{"role", role_}});
    heard_ = clock_.Monotonic();
    Cancel();
  }

  void Reconnect() override {
    reconnect_ = true;
    Cancel();
  }

  void SetServing(std::optional<uint64_t> sessions, bool ready) override {
    session_.SetServing(sessions, ready);
    Wake();  // the drivers' thread reports
  }

  bool connected() const override { return connected_; }
  ProvdStanding standing() const override {
    const std::lock_guard lock(mutex_);
    return {connected_, told_, failed_, error_};
  }
  uint64_t applied_items() const override { return applier_.done(); }
  uint64_t drifting() const override { return drifting_; }

 private:
  // The stream's thread
  // ---------------------------------------------------------------------------------------

  void Follow() {
    std::minstd_rand random(std::random_device{}());
    size_t address = random() % options_.provd.size();
    uint64_t failures = 0;
    while (!Stopping()) {
      bool heard = false;
      const absl::Status status = FollowOnce(options_.provd[address], heard);
      connected_ = false;
      if (Stopping()) return;
      {
        const std::lock_guard lock(mutex_);
        failed_ = true;
        error_ = std::string(MessageOf(status));
      }
      if (reconnect_.exchange(false)) {
        Log(Level::kInfo, "sync_reconnecting", {{"role", role_}});
        continue;
      }
      failures = heard ? 1 : failures + 1;
      // The first of a row is news; the rest is the same story.
      Log(failures == 1 ? Level::kWarning : Level::kDebug, "sync_lost",
          {{"role", role_}, {"provd", options_.provd[address]}, {"error", status}});
      if (IsFatal(status)) return Fatal(status);
      address = (address + 1) % options_.provd.size();
      WaitFor(options_.reconnect.Delay(failures, random()));
    }
  }

  // The files are read each time: the certificate may have been renewed.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Dial(const std::string& address) const {
    absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = ClientTls(options_.tls);
    if (!credentials.ok()) return absl::UnavailableError(credentials.status().ToString());
    grpc::ChannelArguments arguments;
    // Each attempt is a fresh one: the pause between them is ours, not the channel's.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(kMaxMessageOctets);
    return grpc::CreateCustomChannel(address, *credentials, arguments);
  }

  // An operator may allow removals on the host itself, or through provd.
  SessionOptions WithProvdsWord(SessionOptions session) {
    session.allowed_removals = [this, local = std::move(session.allowed_removals)] {
      return std::max(local ? local() : 0, AskProvd());
    };
    return session;
  }

  // On the stream's thread, while the stream is open.
  uint64_t AskProvd() const {
    if (channel_ == nullptr) return 0;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kApprovalPatience);
    v1::HostApproval approval;
    const grpc::Status status =
        v1::Approvals::NewStub(channel_)->GetHostApproval(&context, v1::GetHostApprovalRequest(), &approval);
    return status.ok() && approval.changes() > 0 ? static_cast<uint64_t>(approval.changes()) : 0;
  }

  absl::Status FollowOnce(const std::string& address, bool& heard) {
    PROV_ASSIGN_OR_RETURN(const v1::SyncRequest hello, session_.Hello());
    PROV_ASSIGN_OR_RETURN(channel_, Dial(address));
    const auto stub = v1::AgentSync::NewStub(channel_);
    auto context = std::make_shared<grpc::ClientContext>();
    if (!options_.instance.empty()) context->AddMetadata(kInstanceKey, options_.instance);
    heard_ = clock_.Monotonic();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return absl::CancelledError("stopping");
      context_ = context;
    }
    const std::unique_ptr<Stream> stream = stub->Sync(context.get());
    absl::Status status = absl::OkStatus();
    if (stream->Write(hello)) status = Converse(*stream, *context, address, heard);
    {
      const std::lock_guard lock(write_mutex_);
      stream_ = nullptr;
    }
    if (!status.ok()) context->TryCancel();
    const absl::Status finished = FromGrpcStatus(stream->Finish());
    {
      const std::lock_guard lock(mutex_);
      context_ = nullptr;
    }
    if (!status.ok()) return status;
    if (ReasonOf(finished) == kIdentityTaken) {
      Log(std::exchange(refused_, true) ? Level::kDebug : Level::kError, "refused_as_a_second_agent",
          {{"role", role_}, {"error", finished}});
    }
    // provd's codes are not our state's: whatever they say, a new stream may help.
    return absl::UnavailableError(fmt::format("the stream ended: {}", finished.ToString()));
  }

  absl::Status Converse(Stream& stream, const grpc::ClientContext& context, const std::string& address,
                        bool& heard) {
    v1::SyncResponse message;
    while (stream.Read(&message)) {
      heard_ = clock_.Monotonic();
      if (!heard) {
        PROV_RETURN_IF_ERROR(CheckPeer(context));
        heard = true;
        connected_ = true;
        refused_ = false;
        Log(Level::kInfo, "sync_connected", {{"role", role_}, {"provd", address}});
        const std::lock_guard lock(write_mutex_);
        stream_ = &stream;
      }
      PROV_RETURN_IF_ERROR(Take(message));
      if (message.has_batch() || message.has_heartbeat()) told_ = true;
      Wake();
      PROV_RETURN_IF_ERROR(SendReport());
    }
    return absl::OkStatus();
  }

  // The name that was dialled is in the certificate; that it is a provd's, and not another's of the same CA,
  // is not yet known.
  static absl::Status CheckPeer(const grpc::ClientContext& context) {
    const auto peer = context.auth_context();
    if (peer == nullptr) return absl::UnauthenticatedError("the server has no certificate");
    PROV_ASSIGN_OR_RETURN(const PeerIdentity identity, IdentityOf(*peer));
    if (identity.role == "provd") return absl::OkStatus();
    return absl::UnauthenticatedError(
        fmt::format("the server is no provd but {}/{}", identity.role, identity.name));
  }

  // Waits with too many removals until an operator allows them, or the stream should be begun anew.
  absl::Status Take(const v1::SyncResponse& message) {
    const auto until = clock_.Monotonic() + options_.hold;
    for (bool first = true;; first = false) {
      absl::Status status = session_.Take(message);
      if (ReasonOf(status) != state::kTooManyRemovals) return status;
      if (first) Log(Level::kError, "removals_held", {{"role", role_}, {"error", status}});
      PROV_RETURN_IF_ERROR(SendReport());
      if (clock_.Monotonic() >= until || WaitFor(kHeldRetry)) return status;
      heard_ = clock_.Monotonic();  // it is we who do not listen
    }
  }

  // Reports must leave in the order in which they were made.
  absl::Status SendReport() {
    const std::lock_guard lock(write_mutex_);
    if (stream_ == nullptr) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(const auto report, session_.Report());
    // A broken stream is noticed by the reader.
    if (report) stream_->Write(*report);
    return absl::OkStatus();
  }

  // The drivers' thread
  // ---------------------------------------------------------------------------------------

  void Drive() {
    auto inspect_at = clock_.Monotonic();
    while (!Stopping()) {
      const uint64_t seen = Woken();
      const absl::Status status = DriveOnce(seen, inspect_at);
      if (status.ok()) continue;
      Log(Level::kError, "drivers_failed", {{"role", role_}, {"error", status}});
      if (IsFatal(status)) return Fatal(status);
      WaitFor(kStateRetry);
    }
  }

  absl::Status DriveOnce(uint64_t seen, steady_clock::time_point& inspect_at) {
    PROV_ASSIGN_OR_RETURN(const bool worked, applier_.Step());
    const std::vector<drivers::Unfinished> unfinished = applier_.Unfinished();
    session_.SetUnfinished(unfinished);
    PROV_RETURN_IF_ERROR(SendReport());
    if (worked) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(BeginInspection(inspect_at));
    if (inspection_.running()) return Inspect(inspect_at);
    PROV_ASSIGN_OR_RETURN(const auto due, applier_.NextDue());
    milliseconds pause = std::chrono::duration_cast<milliseconds>(inspect_at - clock_.Monotonic());
    if (due) {
      const auto rest = std::chrono::duration_cast<milliseconds>(*due - clock_.Now());
      pause = std::min<milliseconds>({pause, rest, kLongestPause});
    }
    for (const drivers::Unfinished& thing : unfinished) {
      pause = std::min(pause, std::chrono::duration_cast<milliseconds>(thing.retry_at - clock_.Monotonic()));
    }
    WaitForWork(seen, std::max(pause, milliseconds(1)));
    return absl::OkStatus();
  }

  // The one that was asked for comes first, even when another is under way.
  absl::Status BeginInspection(steady_clock::time_point inspect_at) {
    if (const auto request = session_.TakeInspectionRequest()) {
      Log(Level::kInfo, "inspection_asked_for",
          {{"role", role_}, {"number", request->number()}, {"repair", request->repair()}});
      return inspection_.Begin(request->number(), request->repair() ? Repair::kAll : Repair::kNone);
    }
    if (inspection_.running() || clock_.Monotonic() < inspect_at) return absl::OkStatus();
    return inspection_.Begin(inspection_.report().number(), options_.repair ? Repair::kFew : Repair::kNone);
  }

  absl::Status Inspect(steady_clock::time_point& inspect_at) {
    const uint64_t drifting = inspection_.report().drifting();
    PROV_RETURN_IF_ERROR(inspection_.InspectSome());
    const auto now = clock_.Monotonic();
    // Each slice would be a message.
    if (!inspection_.running() || inspection_.report().drifting() != drifting || now >= inspection_told_) {
      inspection_told_ = now + kInspectionInterval;
      session_.SetInspection(inspection_.report());
    }
    if (!inspection_.running()) {
      drifting_ = inspection_.report().repair() ? 0 : inspection_.report().drifting();
      inspect_at = now + options_.inspect_every;
      if (inspection_.observed_revision() != 0) session_.SetObserved(inspection_.observed_revision());
    }
    PROV_RETURN_IF_ERROR(SendReport());
    PROV_ASSIGN_OR_RETURN(const bool flush, inspection_.Mend());
    if (flush) applier_.FlushAgain();
    return absl::OkStatus();
  }

  // Both
  // ------------------------------------------------------------------------------------------------------

  bool Stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  // Whether it is time to stop.
  bool WaitFor(milliseconds pause) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, pause, [this] { return stopping_; });
  }

  void Wake() {
    {
      const std::lock_guard lock(mutex_);
      ++woken_;
    }
    wake_.notify_all();
  }

  uint64_t Woken() const {
    const std::lock_guard lock(mutex_);
    return woken_;
  }

  void WaitForWork(uint64_t seen, milliseconds pause) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, pause, [&] { return stopping_ || woken_ != seen; });
  }

  void Cancel() {
    std::shared_ptr<grpc::ClientContext> context;
    {
      const std::lock_guard lock(mutex_);
      context = context_;
    }
    if (context != nullptr) context->TryCancel();
  }

  void Fatal(const absl::Status& status) const {
    if (options_.on_fatal) options_.on_fatal(status);
  }

  const RoleSyncOptions options_;
  const Clock& clock_;
  std::shared_ptr<grpc::Channel> channel_;  // of the stream; its thread's, as is the next
  bool refused_ = false;                    // as another agent's double, since the last connection
  Session session_;
  // The drivers' thread's:
  Applier applier_;
  Inspection inspection_;
  steady_clock::time_point inspection_told_;
  const std::string role_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  uint64_t woken_ = 0;
  std::shared_ptr<grpc::ClientContext> context_;  // of the stream that is open

  std::mutex write_mutex_;  // taken before mutex_, never after
  Stream* stream_ = nullptr;

  bool failed_ = false;  // these two under mutex_
  std::string error_;

  std::atomic<bool> connected_{false};
  std::atomic<bool> told_{false};
  std::atomic<bool> reconnect_{false};
  std::atomic<uint64_t> drifting_{0};
  std::atomic<steady_clock::time_point> heard_{steady_clock::time_point()};
  std::thread stream_thread_, driver_thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RoleSync>> RoleSync::Start(RoleSyncOptions options,
                                                          std::vector<drivers::Driver*> drivers,
                                                          state::StateWriter& state, const Clock& clock) {
  if (options.provd.empty()) return absl::InvalidArgumentError("no address of provd is given");
  PROV_RETURN_IF_ERROR(ClientTls(options.tls).status());
  return std::make_unique<GrpcRoleSync>(std::move(options), std::move(drivers), state, clock);
}

}  // namespace prov::sync
