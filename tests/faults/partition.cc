#include "tests/faults/partition.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace partition {
namespace {

constexpr std::chrono::milliseconds kPoll{2};

struct Locks {
  std::mutex mutex;  // nobody is granted one between a look at the file and the drop of all
  std::set<int> held;
  std::atomic<size_t> count{
      0};  // of held: who has none, a child between fork and exec above all, waits for no mutex
};

Locks& TheLocks() {
  static Locks& locks = *new Locks;
  return locks;
}

std::string FileFromEnvironment() {
  const char* value = getenv("FAULT_WHILE");
  return value == nullptr ? "" : value;
}

const std::string& File() {
  static const std::string& file = *new std::string(FileFromEnvironment());
  return file;
}

// Past the shim's own wrappers, as everything here.
int Fcntl(int fd, int command, struct flock* lock) {
  return static_cast<int>(syscall(SYS_fcntl, fd, command, lock));
}

void DropAll(Locks& locks) {
  const std::lock_guard guard(locks.mutex);
  if (!IsOn()) return;
  for (const int fd : locks.held) {
    struct flock whole {};
    whole.l_type = F_UNLCK;
    whole.l_whence = SEEK_SET;
    Fcntl(fd, F_OFD_SETLK, &whole);
  }
  locks.held.clear();
  locks.count = 0;
}

// With all signals blocked: the program's are its own threads' to handle.
void StartDropping() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([] {
    for (;; std::this_thread::sleep_for(kPoll)) DropAll(TheLocks());
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

bool IsPossible() { return !File().empty(); }

bool IsOn() {
  const int before = errno;  // readdir's callers look at it
  const bool on = syscall(SYS_faccessat, AT_FDCWD, File().c_str(), F_OK) == 0;
  errno = before;
  return on;
}

void WaitForEnd() {
  while (IsOn()) std::this_thread::sleep_for(kPoll);
}

std::optional<int> SetLock(int fd, int command, struct flock* lock) {
  static std::once_flag started;
  std::call_once(started, StartDropping);
  Locks& locks = TheLocks();
  const std::lock_guard guard(locks.mutex);
  if (IsOn()) return std::nullopt;
  const int result = Fcntl(fd, command, lock);
  if (result == 0 && lock->l_type == F_UNLCK) locks.held.erase(fd);
  if (result == 0 && lock->l_type != F_UNLCK) locks.held.insert(fd);
  locks.count = locks.held.size();
  return result;
}

void Forget(int fd) {
  Locks& locks = TheLocks();
  if (locks.count == 0) return;
  const std::lock_guard guard(locks.mutex);
  locks.held.erase(fd);
  locks.count = locks.held.size();
}

}  // namespace partition
