#include "agents/drivers/purge_worker.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "agents/drivers/purged_sweep.h"
#include "common/log.h"

namespace prov::drivers {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr milliseconds kShortestPause = seconds(1);
constexpr milliseconds kLongestPause = minutes(10);
// A time that is over is seen so many parts of it later, at the latest.
constexpr int kRoundsPerGrace = 20;
// Between two entries: mail goes first.
constexpr milliseconds kRest{20};

class ThreadedPurgeWorker final : public PurgeWorker {
 public:
  ThreadedPurgeWorker(std::vector<PurgeRoot> roots, milliseconds grace, const Clock& clock)
      : clock_(clock),
        pause_(grace.count() == 0 ? kLongestPause
                                  : std::clamp(grace / kRoundsPerGrace, kShortestPause, kLongestPause)) {
    for (PurgeRoot& root : roots) {
      PurgedSweep sweep(root.path, grace);
      watched_.push_back({.root = std::move(root), .sweep = std::move(sweep)});
    }
    thread_ = std::thread([this] { Loop(); });
  }

  ~ThreadedPurgeWorker() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  uint64_t waiting() const override { return waiting_; }
  uint64_t removed() const override { return removed_; }

 private:
  struct Watched {
    PurgeRoot root;
    PurgedSweep sweep;
    std::optional<std::chrono::steady_clock::time_point> last_round;
  };

  void Loop() {
    do {
      uint64_t waiting = 0;
      for (Watched& watched : watched_) waiting += Round(watched);
      waiting_ = waiting;
    } while (Rest(pause_));
  }

  // How many wait below this root.
  uint64_t Round(Watched& watched) {
    const ActAs owner(watched.root.owner);
    if (!owner.ok()) return 0;
    const auto now = clock_.Monotonic();
    const auto elapsed =
        watched.last_round ? duration_cast<milliseconds>(now - *watched.last_round) : milliseconds(0);
    watched.last_round = now;
    const auto result = watched.sweep.Run(elapsed, [this] { return Rest(kRest); });
    if (!result.ok()) {
      Log(Level::kWarning, "purged_not_looked_at", {{"root", watched.root.path}, {"error", result.status()}});
      return 0;
    }
    removed_ += result->removed;
    return result->waiting;
  }

  // False: told to stop.
  bool Rest(milliseconds time) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, time, [this] { return stopping_; });
  }

  const Clock& clock_;
  const milliseconds pause_;
  std::vector<Watched> watched_;
  std::atomic<uint64_t> waiting_{0}, removed_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<PurgeWorker> PurgeWorker::Start(std::vector<PurgeRoot> roots, milliseconds grace,
                                                const Clock& clock) {
  return std::make_unique<ThreadedPurgeWorker>(std::move(roots), grace, clock);
}

}  // namespace prov::drivers
