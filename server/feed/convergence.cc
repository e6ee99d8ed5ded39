#include "server/feed/convergence.h"

#include <fmt/format.h>

#include <algorithm>

namespace prov::feed {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;
using std::chrono::steady_clock;

std::string WhyStuck(const FollowerFacts& facts, uint64_t revision, steady_clock::time_point since,
                     steady_clock::time_point now) {
  const auto quiet = duration_cast<seconds>(now - since).count();
  if (!facts.first_error.empty() && facts.failing_items == 0) {
    return fmt::format("no progress for {} s: {}", quiet, facts.first_error);
  }
  if (!facts.first_error.empty()) {
    return fmt::format("no progress for {} s; {} items fail: {}", quiet, facts.failing_items,
                       facts.first_error);
  }
  if (facts.received_revision < revision) {
    return fmt::format("no progress for {} s: received up to {} only", quiet, facts.received_revision);
  }
  return fmt::format("no progress for {} s: received, but applied up to {} only", quiet,
                     facts.applied_revision);
}

std::string WhyAbsent(const FollowerFacts& facts, steady_clock::time_point now) {
  if (!facts.seen) return "has not connected since provd started";
  return fmt::format("lost its connection {} s ago", duration_cast<seconds>(now - facts.connection).count());
}

}  // namespace

Follower StandingOf(const FollowerFacts& facts, uint64_t revision, bool must_be_connected,
                    steady_clock::time_point now, const ConvergenceOptions& options) {
  Follower follower;
  follower.applied_revision = facts.applied_revision;
  follower.failing_items = facts.failing_items;
  const bool applied = facts.applied_revision >= revision && facts.seen;
  if (applied && (facts.connected || !must_be_connected)) {
    follower.state = FollowerState::kCurrent;
    return follower;
  }
  if (!facts.connected) {
    follower.state = FollowerState::kAbsent;
    follower.cause = WhyAbsent(facts, now);
    return follower;
  }
  const steady_clock::time_point since = std::max({facts.progress, facts.behind, facts.connection});
  if (now - since < options.stuck_after) {
    follower.state = FollowerState::kBehind;
    if (facts.applied_revision < revision) {
      follower.time_to_go = facts.rate.TimeFor(revision - facts.applied_revision);
    }
    return follower;
  }
  follower.state = FollowerState::kStuck;
  follower.cause = WhyStuck(facts, revision, since, now);
  return follower;
}

bool AllCurrent(const std::vector<Follower>& followers) {
  return std::all_of(followers.begin(), followers.end(),
                     [](const Follower& follower) { return follower.state == FollowerState::kCurrent; });
}

Convergence::Convergence(const Clock& clock, ConvergenceOptions options) : clock_(clock), options_(options) {}

void Convergence::SetFleet(const Fleet& fleet, uint64_t head_revision) {
  {
    const std::lock_guard lock(mutex_);
    if (head_revision < fleet_revision_) return;
    fleet_revision_ = head_revision;
    for (auto& [key, entry] : hosts_) entry.expected = false;
    for (const model::Host& host : fleet.hosts) {
      for (const std::string& id : host.pools) {
        const model::Pool* pool = fleet.FindPool(id);
        if (pool == nullptr || !MayFollow(host, pool->role, fleet)) continue;
        const auto [entry, added] = hosts_.try_emplace({host.id, pool->role});
        entry->second.expected = true;
        if (added) entry->second.facts.behind = clock_.Monotonic();
      }
    }
    std::erase_if(hosts_,
                  [](const auto& item) { return !item.second.expected && !item.second.facts.connected; });
  }
  Notify();
}

uint64_t Convergence::head() const {
  const std::lock_guard lock(mutex_);
  return head_;
}

uint64_t Convergence::fleet_revision() const {
  const std::lock_guard lock(mutex_);
  return fleet_revision_;
}

void Convergence::SetHead(uint64_t head_revision) {
  const std::lock_guard lock(mutex_);
  if (head_revision <= head_) return;
  const auto now = clock_.Monotonic();
  // Who had nothing to do has something to do from now on.
  const auto begin = [&](FollowerFacts& facts) {
    if (facts.applied_revision < head_) return;
    facts.behind = now;
    facts.rate.Begin(now);
  };
  begin(directory_);
  for (auto& [key, entry] : hosts_) begin(entry.facts);
  head_ = head_revision;
}

uint64_t Convergence::Connected(const std::string& host, model::Role role, uint64_t received,
                                uint64_t applied) {
  uint64_t connection = 0;
  {
    const std::lock_guard lock(mutex_);
    connection = ++last_connection_;
    const FollowerKey key{host, role};
    Entry& entry = hosts_[key];
    connections_.erase(entry.connection);
    entry.connection = connection;
    connections_[connection] = key;
    entry.facts.connected = entry.facts.seen = true;
    entry.facts.connection = entry.facts.progress = clock_.Monotonic();
    entry.facts.received_revision = received;
    entry.facts.applied_revision = applied;
    entry.facts.failing_items = 0;
    entry.facts.first_error.clear();
    entry.facts.rate.Begin(entry.facts.connection);
  }
  Notify();
  return connection;
}

void Convergence::Move(FollowerFacts& facts, uint64_t received, uint64_t applied) {
  if (facts.received_revision == received && facts.applied_revision == applied) return;
  facts.progress = clock_.Monotonic();
  if (applied > facts.applied_revision) {
    facts.rate.Note(applied - facts.applied_revision, facts.progress);
  } else if (applied < facts.applied_revision) {
    facts.rate.Begin(facts.progress);  // it lost its copy
  }
  facts.received_revision = received;
  facts.applied_revision = applied;
}

void Convergence::Report(uint64_t connection, uint64_t received, uint64_t applied, uint64_t failing_items,
                         const std::string& first_error) {
  {
    const std::lock_guard lock(mutex_);
    const auto key = connections_.find(connection);
    if (key == connections_.end()) return;
    FollowerFacts& facts = hosts_[key->second].facts;
    Move(facts, received, applied);
    facts.failing_items = failing_items;
    facts.first_error = first_error;
  }
  Notify();
}

void Convergence::Disconnected(uint64_t connection) {
  {
    const std::lock_guard lock(mutex_);
    const auto key = connections_.find(connection);
    if (key == connections_.end()) return;
    const auto entry = hosts_.find(key->second);
    connections_.erase(key);
    entry->second.connection = 0;
    entry->second.facts.connected = false;
    entry->second.facts.connection = clock_.Monotonic();
    if (!entry->second.expected && fleet_revision_ != 0) hosts_.erase(entry);
  }
  Notify();
}

void Convergence::SetElsewhere(const std::vector<store::HostProgress>& progress) {
  bool moved = false;
  {
    const std::lock_guard lock(mutex_);
    for (const store::HostProgress& told : progress) {
      const auto found = hosts_.find({told.host, told.role});
      if (found == hosts_.end() || found->second.connection != 0) continue;
      FollowerFacts& facts = found->second.facts;
      if (!told.connected && !facts.connected) continue;
      moved = moved || told.connected != facts.connected || told.applied_revision != facts.applied_revision;
      if (told.connected != facts.connected) facts.connection = clock_.Monotonic();
      if (told.connected && !facts.connected) facts.rate.Begin(facts.connection);
      facts.connected = told.connected;
      facts.seen = true;
      Move(facts, told.received_revision, told.applied_revision);
      facts.failing_items = told.failing_items;
      facts.first_error =
          told.failing.empty() ? "" : told.failing.front().key + ": " + told.failing.front().error;
    }
  }
  if (moved) Notify();
}

void Convergence::ReportDirectory(bool connected, uint64_t applied_revision, uint64_t failing_items,
                                  const std::string& error) {
  {
    const std::lock_guard lock(mutex_);
    const bool came = connected && !directory_.connected;
    if (connected != directory_.connected) {
      directory_.connected = connected;
      directory_.connection = clock_.Monotonic();
    }
    directory_.seen = directory_.seen || connected;
    // What it had applied before is no work of this moment.
    if (came) directory_.received_revision = directory_.applied_revision = applied_revision;
    if (came) directory_.rate.Begin(directory_.connection);
    Move(directory_, applied_revision, applied_revision);
    directory_.failing_items = failing_items;
    directory_.first_error = error;
  }
  Notify();
}

std::vector<Follower> Convergence::Followers(uint64_t revision, bool must_be_connected) const {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.Monotonic();
  std::vector<Follower> followers;
  followers.reserve(hosts_.size() + 1);
  followers.push_back(StandingOf(directory_, revision, must_be_connected, now, options_));
  followers.back().name = "directory";
  if (followers.back().state == FollowerState::kAbsent && !directory_.first_error.empty()) {
    followers.back().cause = directory_.first_error;
  }
  for (const auto& [key, entry] : hosts_) {
    if (!entry.expected) continue;
    followers.push_back(StandingOf(entry.facts, revision, must_be_connected, now, options_));
    followers.back().name = "hosts/" + key.first;
    followers.back().role = key.second;
  }
  return followers;
}

uint64_t Convergence::Subscribe(std::function<void()> listener) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_[++last_listener_] = std::move(listener);
  return last_listener_;
}

void Convergence::Unsubscribe(uint64_t id) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.erase(id);
}

void Convergence::Notify() {
  const std::lock_guard lock(listeners_mutex_);
  for (const auto& [id, listener] : listeners_) listener();
}

}  // namespace prov::feed
