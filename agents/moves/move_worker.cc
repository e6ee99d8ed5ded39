#include "agents/moves/move_worker.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "agents/moves/mailbox_arrival.h"
#include "common/grpc_status.h"
#include "common/log.h"
#include "common/status.h"
#include "prov/v1/mailbox_moves.grpc.pb.h"

namespace prov::moves {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Report = v1::ReportMailboxMoveRequest;

constexpr size_t kPage = 1000;     // of moves
constexpr seconds kPause(1);       // between two looks while moves are open
constexpr seconds kIdlePause(60);  // a wake that was lost goes unnoticed for so long
constexpr seconds kProgressInterval(2);
constexpr seconds kReportPatience(5);
constexpr size_t kMaxErrorOctets = 900;

class ThreadedMoveWorker final : public MoveWorker {
 public:
  ThreadedMoveWorker(MoveWorkerOptions options, state::StateReader& state, const Clock& clock)
      : options_(std::move(options)), state_(state), clock_(clock), thread_([this] { Loop(); }) {}

  ~ThreadedMoveWorker() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  void Wake() override {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wake_.notify_all();
  }

 private:
  void Loop() {
    while (!stopping_) {
      const absl::StatusOr<size_t> open = Round();
      if (!open.ok()) Log(Level::kDebug, "moves_not_read", {{"error", open.status()}});
      std::unique_lock lock(mutex_);
      const bool busy = open.ok() && *open > 0;
      wake_.wait_for(lock, busy ? kPause : kIdlePause, [this] { return stopping_ || woken_; });
      woken_ = false;
    }
  }

  // One look at all moves. How many of those to this host's pool are open.
  absl::StatusOr<size_t> Round() {
    sources_.clear();
    std::map<std::string, std::string> told;
    size_t ours = 0;
    std::string last;
    for (;;) {
      PROV_ASSIGN_OR_RETURN(const auto page, state_.MailboxTransits(last, kPage));
      for (const auto& [name, transit] : page) {
        if (stopping_) return ours;
        last = name;
        if (!IsOurs(transit)) continue;
        ++ours;
        std::string error = DoOne(name, transit);
        if (!error.empty()) told.emplace(name, std::move(error));
      }
      if (page.size() < kPage) break;
    }
    told_ = std::move(told);
    return ours;
  }

  bool IsOurs(const v1::MailboxTransit& transit) const {
    const auto pool = state_.FindPool(v1::STORE, transit.to_pool());
    return pool.ok() && std::any_of(pool->members().begin(), pool->members().end(),
                                    [&](const auto& member) { return member.host() == options_.host; });
  }

  // The error that provd was told, if any.
  std::string DoOne(const std::string& name, const v1::MailboxTransit& transit) {
    const absl::Status status = Bring(name, transit);
    if (status.ok()) return "";
    std::string error(MessageOf(status).substr(0, kMaxErrorOctets));
    const auto before = told_.find(name);
    if (before != told_.end() && before->second == error) return error;  // the same story
    Log(Level::kWarning, "mailbox_move_waits", {{"move", name}, {"error", status}});
    return Tell(name, Report::UNDER_WAY, copied_, total_, error).ok() ? error : "";
  }

  // Once a round for each pool, whether it answers or not: one that is away must not hold up the moves from
  // others.
  const absl::StatusOr<std::shared_ptr<grpc::Channel>>& ChannelTo(const std::string& pool) {
    const auto known = sources_.find(pool);
    if (known != sources_.end()) return known->second;
    const auto dial = [&]() -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
      PROV_ASSIGN_OR_RETURN(const v1::PoolMembers members, state_.FindPool(v1::STORE, pool));
      return DialPool(members, options_.tls);
    };
    return sources_.emplace(pool, dial()).first->second;
  }

  absl::Status Bring(const std::string& name, const v1::MailboxTransit& transit) {
    copied_ = total_ = 0;
    PROV_ASSIGN_OR_RETURN(const auto channel, ChannelTo(transit.from_pool()));
    const std::unique_ptr<TransferSource> source = SourceAt(channel, name);
    ArrivalParts parts{
        .root = options_.maildir_root, .owner = options_.owner, .source = source.get(), .report = {}};
    parts.report = [&](Report::Step step, uint64_t copied, uint64_t total) -> absl::Status {
      if (stopping_) return absl::CancelledError("stopping");
      copied_ = copied;
      total_ = total;
      const auto now = clock_.Monotonic();
      if (step == Report::UNDER_WAY && now - progress_told_ < kProgressInterval) return absl::OkStatus();
      progress_told_ = now;
      const absl::Status status = Tell(name, step, copied, total, "");
      // How far it is may be told later; that it is done must be.
      return step == Report::UNDER_WAY ? absl::OkStatus() : status;
    };
    return BringMailbox(transit, parts);
  }

  absl::Status Tell(const std::string& name, Report::Step step, uint64_t copied, uint64_t total,
                    const std::string& error) {
    Report request;
    request.set_name(name);
    request.set_step(step);
    request.set_octets_copied(static_cast<int64_t>(copied));
    request.set_octets_total(static_cast<int64_t>(total));
    request.set_error(error);
    absl::Status status = absl::UnavailableError("no provd is configured");
    for (size_t i = 0; i < options_.provd.size(); ++i) {
      status = TellOne(options_.provd[(provd_ + i) % options_.provd.size()], request);
      if (!absl::IsUnavailable(status)) {
        provd_ = (provd_ + i) % options_.provd.size();
        return status;
      }
    }
    return status;
  }

  // A channel for each provd is kept: its credentials read the files again when they change.
  absl::Status TellOne(const std::string& address, const Report& request) {
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (channel == nullptr) {
      PROV_ASSIGN_OR_RETURN(const auto credentials, ClientTls(options_.tls));
      channel = grpc::CreateChannel(address, credentials);
    }
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + kReportPatience);
    v1::ReportMailboxMoveResponse response;
    const absl::Status status =
        FromGrpcStatus(v1::MailboxMoves::NewStub(channel)->ReportMailboxMove(&context, request, &response));
    return absl::IsDeadlineExceeded(status) ? absl::UnavailableError(address + " does not answer") : status;
  }

  const MoveWorkerOptions options_;
  state::StateReader& state_;
  const Clock& clock_;

  // The thread's own.
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
  std::map<std::string, absl::StatusOr<std::shared_ptr<grpc::Channel>>> sources_;  // of this round, by pool
  std::map<std::string, std::string> told_;                                        // errors, by move
  size_t provd_ = 0;
  uint64_t copied_ = 0, total_ = 0;
  std::chrono::steady_clock::time_point progress_told_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  bool woken_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<MoveWorker> MoveWorker::Start(MoveWorkerOptions options, state::StateReader& state,
                                              const Clock& clock) {
  return std::make_unique<ThreadedMoveWorker>(std::move(options), state, clock);
}

}  // namespace prov::moves
