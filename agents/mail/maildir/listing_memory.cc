#include "agents/mail/maildir/listing_memory.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

// Some file systems tell whole seconds only.
constexpr time_t kLocalTickSeconds = 2;
// A file server's clock may be that much behind ours.
constexpr time_t kServerTickSeconds = 120;

absl::StatusOr<DirectoryTimes::Of> TimesOf(int directory) {
  struct stat info;
  if (fstat(directory, &info) != 0) return ErrnoStatus(errno, "look at a mail directory");
  return DirectoryTimes::Of{info.st_dev, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
}

}  // namespace

absl::StatusOr<DirectoryTimes> DirectoryTimes::Read(const MailboxDirectories& directories) {
  DirectoryTimes times;
  PROV_ASSIGN_OR_RETURN(times.fresh, TimesOf(directories.fresh));
  PROV_ASSIGN_OR_RETURN(times.cur, TimesOf(directories.cur));
  const time_t tick = IsOnLocalDisk(directories.fresh) ? kLocalTickSeconds : kServerTickSeconds;
  times.settled = std::max(times.fresh.seconds, times.cur.seconds) + tick < time(nullptr);
  return times;
}

std::shared_ptr<const Listing> ListingMemory::Find(const DirectoryTimes& times) {
  const std::lock_guard lock(mutex_);
  const auto found = by_directory_.find({times.fresh.device, times.fresh.inode});
  if (found == by_directory_.end()) return nullptr;
  const Order::iterator known = found->second;
  if (known->times.fresh != times.fresh || known->times.cur != times.cur) {
    Drop(known);
    return nullptr;
  }
  known_.splice(known_.begin(), known_, known);
  return known->listing;
}

void ListingMemory::Keep(const DirectoryTimes& times, std::shared_ptr<const Listing> listing) {
  // A file that is written over keeps its name, and may have another size.
  if (!times.settled || !listing->sizes_in_names || listing->messages.size() < kFewestMessages) return;
  const size_t octets = listing->octets_of_memory();
  if (octets > most_octets_) return;
  const std::pair directory(times.fresh.device, times.fresh.inode);
  const std::lock_guard lock(mutex_);
  if (const auto before = by_directory_.find(directory); before != by_directory_.end()) Drop(before->second);
  while (octets_ + octets > most_octets_) Drop(std::prev(known_.end()));
  known_.push_front({times, std::move(listing), octets});
  by_directory_[directory] = known_.begin();
  octets_ += octets;
}

size_t ListingMemory::octets() const {
  const std::lock_guard lock(mutex_);
  return octets_;
}

// Under the lock.
void ListingMemory::Drop(Order::iterator known) {
  octets_ -= known->octets;
  by_directory_.erase({known->times.fresh.device, known->times.fresh.inode});
  known_.erase(known);
}

}  // namespace prov::maildir
