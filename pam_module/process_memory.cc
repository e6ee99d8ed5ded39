#include "pam_module/process_memory.h"

#include <pthread.h>

#include <system_error>
#include <thread>
#include <utility>

#include "common/ldap/quiet_thread.h"

namespace prov::pam {

ProcessMemory& ProcessMemory::Own() {
  static ProcessMemory* const own = [] {
    // A fork while another thread holds the mutex would leave the child with one that is locked for ever.
    pthread_atfork([] { Own().mutex_.lock(); }, [] { Own().mutex_.unlock(); }, [] { Own().ForkedChild(); });
    return new ProcessMemory(kKeptFor);
  }();
  return *own;
}

// Little is allowed here: the child of a program with threads has but this one.
void ProcessMemory::ForkedChild() {
  for (Kept& one : kept_) one.connection->LeaveToParent();
  parents_.splice(parents_.end(), kept_);
  closing_ = false;
  logged_in_before_ = false;
  mutex_.unlock();
}

bool ProcessMemory::IsDead(const std::string& uri) {
  const std::lock_guard lock(mutex_);
  const auto found = dead_until_.find(uri);
  return found != dead_until_.end() && Clock::now() < found->second;
}

void ProcessMemory::Failed(const std::string& uri, std::chrono::milliseconds rest) {
  const std::lock_guard lock(mutex_);
  std::uniform_int_distribution<int64_t> chance(rest.count() / 2, rest.count());
  dead_until_[uri] = Clock::now() + std::chrono::milliseconds(chance(random_));
}

void ProcessMemory::Answered(const std::string& uri) {
  const std::lock_guard lock(mutex_);
  dead_until_.erase(uri);
}

bool ProcessMemory::BeginLogin() {
  KeptList parents;
  const std::lock_guard lock(mutex_);
  parents.swap(parents_);
  return std::exchange(logged_in_before_, true);
}

std::unique_ptr<ldap::Connection> ProcessMemory::Take(const ConnectionUse& use) {
  KeptList ended;  // closed without the lock
  const std::lock_guard lock(mutex_);
  for (auto it = kept_.begin(); it != kept_.end();) {
    const auto one = it++;
    if (one->use != use) continue;
    if (one->connection->IsQuiet()) {
      std::unique_ptr<ldap::Connection> connection = std::move(one->connection);
      kept_.erase(one);
      return connection;
    }
    ended.splice(ended.end(), kept_, one);
  }
  return nullptr;
}

void ProcessMemory::Keep(ConnectionUse use, std::unique_ptr<ldap::Connection> connection) {
  connection->EndWhenever();
  KeptList surplus;
  const std::lock_guard lock(mutex_);
  if (!closing_ && !StartClosing()) return;
  if (kept_.size() >= kMostKept) surplus.splice(surplus.end(), kept_, kept_.begin());
  kept_.push_back({std::move(use), std::move(connection), Clock::now() + kept_for_});
}

// A program that does no more logins would otherwise hold its connections until it ends.
bool ProcessMemory::StartClosing() {
  try {
    ldap::QuietThread([this] { CloseInTime(); }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  closing_ = true;
  return true;
}

// Waits for time alone: a condition variable would not survive a fork.
void ProcessMemory::CloseInTime() {
  Clock::time_point next = Clock::now() + kept_for_;
  for (;;) {
    std::this_thread::sleep_until(next);
    KeptList ended;
    const std::lock_guard lock(mutex_);
    while (!kept_.empty() && kept_.front().until <= Clock::now())
      ended.splice(ended.end(), kept_, kept_.begin());
    if (kept_.empty()) {
      closing_ = false;
      return;
    }
    next = kept_.front().until;
  }
}

}  // namespace prov::pam
