#include "agents/mail/queue/shared_sync.h"

#include "common/file.h"

namespace prov::queue {

absl::Status SharedSync::Sync() {
  std::unique_lock lock(mutex_);
  const uint64_t wanted = begun_ + 1;  // one that begins after this call
  while (finished_ < wanted) {
    if (running_) {
      changed_[wanted % 2].wait(lock);
      continue;
    }
    running_ = true;
    const uint64_t mine = ++begun_;
    lock.unlock();
    const absl::Status status = SyncDirectory(directory_);
    lock.lock();
    running_ = false;
    finished_ = mine;
    if (!status.ok()) {
      failed_ = mine;
      failure_ = status;
    }
    changed_[mine % 2].notify_all();
    changed_[(mine + 1) % 2].notify_one();  // it does the next
  }
  // A later one that failed counts too: the names may be the ones it could not write.
  return failed_ >= wanted ? failure_ : absl::OkStatus();
}

}  // namespace prov::queue
