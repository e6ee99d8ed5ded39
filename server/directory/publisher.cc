#include "server/directory/publisher.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "common/clock.h"
#include "common/ldap/dn.h"
#include "common/log.h"
#include "common/status.h"
#include "server/directory/follower.h"
#include "server/directory/session.h"

namespace prov::directory {
namespace {

// How long a lost notification, a dead server or a directory that was wiped can go unnoticed.
constexpr std::chrono::milliseconds kLookAgain{2000};
// Between two looks at the change log: under load writes share a transaction. After a pause the first one
// goes at once.
constexpr std::chrono::milliseconds kRoundInterval{20};
// While another provd publishes: how often its progress is looked at.
constexpr std::chrono::milliseconds kStandByInterval{50};

using std::chrono::milliseconds;
using std::chrono::steady_clock;

SessionOptions SessionOptionsOf(const Publisher::Options& options) {
  return {.connect = {.uri = options.uri,
                      .ca = options.ca,
                      .starttls = options.starttls,
                      .connect_timeout = options.connect_timeout,
                      .operation_timeout = options.operation_timeout},
          .bind_dn = options.bind_dn,
          .password = options.password,
          .base = options.base,
          .use_transactions = options.use_transactions};
}

FollowerOptions FollowerOptionsOf(const Publisher::Options& options) {
  return {.mapping = {.base = options.base, .services = options.services, .home_prefix = options.home_prefix},
          .batch_entries = options.batch_entries,
          .most_removals = options.most_removals,
          .most_changed_removals = options.most_changed_removals,
          .approved_removals = options.approved_removals,
          .retry = {.shortest = options.shortest_retry, .longest = options.longest_retry}};
}

absl::Status CheckOptions(const Publisher::Options& options) {
  PROV_RETURN_IF_ERROR(ldap::CheckConnectOptions(SessionOptionsOf(options).connect));
  if (!ldap::IsDn(options.base))
    return InvalidField("directory.base", "is not a distinguished name, such as o=prov");
  if (!ldap::IsDn(options.bind_dn)) return InvalidField("directory.bind_dn", "is not a distinguished name");
  if (options.password.empty()) return InvalidField("directory.password_file", "is empty");
  if (options.batch_entries == 0) return InvalidField("directory.batch_entries", "is 0");
  return absl::OkStatus();
}

}  // namespace

class Publisher::Thread {
 public:
  Thread(store::SnapshotSource& source, store::RevisionWatch& watch, store::PublisherTurn& turn,
         Options options)
      : watch_(watch),
        turn_(turn),
        options_(std::move(options)),
        follower_(source, SystemClock(), FollowerOptionsOf(options_),
                  [this](const Session& session) { return Progress(session); }) {}

  ~Thread() { Stop(); }

  absl::Status Start() {
    PROV_RETURN_IF_ERROR(CheckOptions(options_));
    watching_ = watch_.Subscribe([this](uint64_t head) {
      {
        const std::lock_guard lock(mutex_);
        head_ = std::max(head_, head);
      }
      wake_.notify_all();
    });
    {
      const uint64_t head = watch_.head();
      const std::lock_guard lock(mutex_);
      head_ = std::max(head_, head);
    }
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    applied_.notify_all();
    if (!thread_.joinable()) return;
    thread_.join();
    watch_.Unsubscribe(watching_);
  }

  Status GetStatus() const {
    const std::lock_guard lock(mutex_);
    return status_;
  }

  uint64_t WaitApplied(uint64_t revision, milliseconds timeout) const {
    std::unique_lock lock(mutex_);
    applied_.wait_for(lock, timeout, [&] { return stopping_ || status_.applied_revision >= revision; });
    return status_.applied_revision;
  }

  uint64_t RequestPass() {
    uint64_t pass = 0;
    {
      const std::lock_guard lock(mutex_);
      pass = ++passes_wanted_;
    }
    wake_.notify_all();
    return pass;
  }

  absl::StatusOr<bool> WaitPass(uint64_t pass, milliseconds timeout) const {
    std::unique_lock lock(mutex_);
    applied_.wait_for(lock, timeout, [&] { return stopping_ || passes_done_ >= pass; });
    if (passes_done_ < pass) return false;
    PROV_RETURN_IF_ERROR(last_pass_);
    return true;
  }

  uint64_t Subscribe(std::function<void(const Status&)> listener) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_[++last_listener_] = std::move(listener);
    return last_listener_;
  }

  void Unsubscribe(uint64_t id) {
    const std::lock_guard lock(listeners_mutex_);
    listeners_.erase(id);
  }

 private:
  void Run() {
    while (!Stopping()) {
      const absl::Status done = Work();
      if (done.ok()) {
        failures_ = 0;
        Report(true, "");
        look_again_ = !WaitForWork();
        continue;
      }
      if (absl::IsCancelled(done)) continue;
      // Whose fault was it? A session that still answers may stay; after a lost race, or where entries we
      // wrote below are gone, the layout and the cursor are read anew.
      const bool again = absl::IsAborted(done) || absl::IsNotFound(done);
      if (session_ != nullptr && (again || !session_->ReadCursor().ok())) session_.reset();
      if (failures_ == 0) Log(Level::kWarning, "directory_publishing_stopped", {{"error", done}});
      Report(session_ != nullptr, std::string(MessageOf(done)));
      WaitBackOff();
    }
    session_.reset();
    turn_.Release();
    Report(false, "stopped");
  }

  absl::Status Work() {
    if (session_ == nullptr) {
      PROV_ASSIGN_OR_RETURN(session_, Session::Open(SessionOptionsOf(options_)));
      PROV_RETURN_IF_ERROR(session_->EnsureLayout());
      PROV_RETURN_IF_ERROR(session_->ReadCursor());
      Log(Level::kInfo, "directory_connected",
          {{"uri", options_.uri},
           {"revision", session_->cursor().revision},
           {"transactions", session_->transactional() ? "yes" : "no"}});
    } else if (look_again_ || standing_by_) {
      PROV_RETURN_IF_ERROR(session_->ReadCursor());
    }
    standing_by_ = !turn_.Hold() && !OtherIsStuck();
    if (standing_by_) return PassIfWanted();
    PROV_RETURN_IF_ERROR(follower_.CatchUp(*session_));
    PROV_RETURN_IF_ERROR(PassIfWanted());
    return follower_.RetryFailing(*session_);
  }

  // Whoever has the turn may be frozen, or cut off from the directory.
  bool OtherIsStuck() {
    const auto now = steady_clock::now();
    const uint64_t at = session_->cursor().revision;
    const std::lock_guard lock(mutex_);
    if (at != seen_revision_ || head_ <= at) {
      seen_revision_ = at;
      seen_moving_ = now;
    }
    return now - seen_moving_ > options_.stand_by_patience;
  }

  absl::Status PassIfWanted() {
    uint64_t pass = 0;
    {
      const std::lock_guard lock(mutex_);
      if (passes_wanted_ == passes_done_) return absl::OkStatus();
      pass = passes_wanted_;
    }
    const absl::Status status = follower_.CompareAll(*session_);
    if (!status.ok() && !absl::IsFailedPrecondition(status)) return status;  // it is tried again
    {
      const std::lock_guard lock(mutex_);
      passes_done_ = pass;
      last_pass_ = status;
    }
    applied_.notify_all();
    return absl::OkStatus();
  }

  // True when there is a new revision or the end; false when it is merely time to look again.
  bool WaitForWork() {
    const uint64_t at = session_->cursor().revision;
    const auto until = std::min(steady_clock::now() + kLookAgain, follower_.failing().NextDue());
    std::unique_lock lock(mutex_);
    if (standing_by_ && head_ > at) {
      wake_.wait_for(lock, kStandByInterval, [&] { return stopping_ || passes_wanted_ > passes_done_; });
      return true;
    }
    if (!wake_.wait_until(lock, until,
                          [&] { return stopping_ || head_ > at || passes_wanted_ > passes_done_; }))
      return false;
    wake_.wait_until(lock, next_round_, [&] { return stopping_; });
    next_round_ = steady_clock::now() + kRoundInterval;
    return true;
  }

  // Doubles up to the longest, less up to half by chance, so that several provd do not come back as one.
  void WaitBackOff() {
    const int doublings = std::min(failures_++, 20);
    const milliseconds longest =
        std::min(options_.shortest_backoff * (1 << doublings), options_.longest_backoff);
    std::uniform_int_distribution<int64_t> chance(longest.count() / 2, longest.count());
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, milliseconds(chance(random_)), [this] { return stopping_; });
  }

  bool Stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  bool Progress(const Session& session) {
    failures_ = 0;
    {
      const std::lock_guard lock(mutex_);
      status_.last_progress = SystemClock().Now();
    }
    Report(true, session.cursor().revision == 0 ? "comparing all entries" : "");
    return !Stopping();
  }

  void Report(bool connected, std::string cause) {
    // While standing by only their names are known, from the cursor.
    const size_t failing =
        standing_by_ && session_ != nullptr ? session_->cursor().failing.size() : follower_.failing().size();
    Status status;
    {
      const std::lock_guard lock(mutex_);
      const bool same = status_.connected == connected && status_.cause == cause &&
                        (session_ == nullptr || status_.applied_revision == session_->cursor().revision) &&
                        status_.failing_items == 0 && failing == 0;
      if (same) return;
      status_.connected = connected;
      status_.cause = std::move(cause);
      if (session_ != nullptr) status_.applied_revision = session_->cursor().revision;
      status_.failing = follower_.failing().Show();
      status_.failing_items = failing;
      status = status_;
    }
    applied_.notify_all();
    const std::lock_guard lock(listeners_mutex_);
    for (const auto& [id, listener] : listeners_) listener(status);
  }

  store::RevisionWatch& watch_;
  store::PublisherTurn& turn_;
  const Options options_;

  // The thread's own.
  Follower follower_;
  std::unique_ptr<Session> session_;
  int failures_ = 0;
  bool look_again_ = false;
  bool standing_by_ = false;  // another provd publishes
  uint64_t seen_revision_ = 0;
  steady_clock::time_point seen_moving_ = steady_clock::now();
  steady_clock::time_point next_round_;  // not earlier
  std::minstd_rand random_{std::random_device{}()};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  mutable std::condition_variable applied_;
  bool stopping_ = false;
  uint64_t head_ = 0;
  uint64_t passes_wanted_ = 0, passes_done_ = 0;
  absl::Status last_pass_;
  Status status_;

  std::mutex listeners_mutex_;
  uint64_t last_listener_ = 0;
  std::map<uint64_t, std::function<void(const Status&)>> listeners_;

  uint64_t watching_ = 0;
  std::thread thread_;
};

Publisher::Publisher(store::SnapshotSource& source, store::RevisionWatch& watch, store::PublisherTurn& turn,
                     Options options)
    : thread_(std::make_unique<Thread>(source, watch, turn, std::move(options))) {}

Publisher::~Publisher() = default;

absl::Status Publisher::Start() { return thread_->Start(); }
void Publisher::Stop() { thread_->Stop(); }
Publisher::Status Publisher::GetStatus() const { return thread_->GetStatus(); }

uint64_t Publisher::WaitApplied(uint64_t revision, milliseconds timeout) const {
  return thread_->WaitApplied(revision, timeout);
}

uint64_t Publisher::RequestPass() { return thread_->RequestPass(); }

absl::StatusOr<bool> Publisher::WaitPass(uint64_t pass, milliseconds timeout) const {
  return thread_->WaitPass(pass, timeout);
}

uint64_t Publisher::Subscribe(std::function<void(const Status&)> listener) {
  return thread_->Subscribe(std::move(listener));
}

void Publisher::Unsubscribe(uint64_t id) { thread_->Unsubscribe(id); }

}  // namespace prov::directory
