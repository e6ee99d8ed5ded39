#include "agents/sync/applier.h"

#include <atomic>
#include <random>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace prov::sync {
namespace {

using drivers::Work;
using std::chrono::system_clock;

uint64_t RandomNumber() {
  thread_local std::minstd_rand engine(std::random_device{}());
  return engine();
}

}  // namespace

Applier::Applier(v1::Role role, std::vector<drivers::Driver*> drivers, state::StateWriter& state,
                 const Clock& clock, ApplierOptions options)
    : role_(role), drivers_(std::move(drivers)), state_(state), clock_(clock), options_(options) {}

absl::StatusOr<bool> Applier::Step() {
  if (!whole_) {
    PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(role_));
    whole_ = freshness.received_revision > 0;
    flush_ = flush_ || whole_;
  }
  PROV_ASSIGN_OR_RETURN(std::vector<state::PendingItem> items,
                        state_.Pending(role_, clock_.Now(), options_.slice));
  for (const drivers::Unfinished& unfinished : Unfinished()) {
    flush_ = flush_ || unfinished.retry_at <= clock_.Monotonic();
  }
  if (items.empty() && !flush_) return false;
  std::vector<Work> works;
  for (state::PendingItem& item : items) works.push_back({std::move(item), absl::OkStatus()});
  ApplyAll(works);
  bool all_flushed = true;
  for (drivers::Driver* driver : drivers_) {
    const absl::Status flushed = Annotate(driver->Flush(works), driver->name());
    // Without items there is nothing to tell it of.
    if (works.empty()) PROV_RETURN_IF_ERROR(flushed);
    for (Work& work : works) work.status.Update(flushed);
    all_flushed = all_flushed && flushed.ok();
  }
  if (all_flushed) flush_ = false;
  if (works.empty()) return false;

  std::vector<state::Outcome> outcomes;
  for (const Work& work : works) {
    const auto delay = options_.retry.Delay(work.item.attempts + 1, RandomNumber());
    outcomes.push_back({work.item.key, work.item.ticket, work.status, clock_.Now() + delay});
    if (work.status.ok()) {
      ++done_;
      continue;
    }
    Log(work.item.attempts == 0 ? Level::kWarning : Level::kDebug, "item_failed",
        {{"key", work.item.key}, {"attempts", work.item.attempts + 1}, {"error", work.status}});
  }
  PROV_RETURN_IF_ERROR(state_.Settle(role_, outcomes));
  return true;
}

void Applier::ApplyAll(std::vector<Work>& works) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < works.size(); i = next++) ApplyOne(works[i]);
  };
  std::vector<std::jthread> others;
  const size_t wanted = std::min<size_t>(options_.threads, works.size());
  for (size_t i = 1; i < wanted; ++i) others.emplace_back(run);
  run();
}

void Applier::ApplyOne(Work& work) {
  for (drivers::Driver* driver : drivers_) {
    work.status = Annotate(driver->Apply(work.item), driver->name());
    if (!work.status.ok()) return;
  }
}

std::vector<drivers::Unfinished> Applier::Unfinished() const {
  std::vector<drivers::Unfinished> all;
  for (drivers::Driver* driver : drivers_) {
    if (auto unfinished = driver->GetUnfinished()) all.push_back(*std::move(unfinished));
  }
  return all;
}

absl::StatusOr<std::optional<system_clock::time_point>> Applier::NextDue() {
  return state_.NextDue(role_, clock_.Now());
}

}  // namespace prov::sync
