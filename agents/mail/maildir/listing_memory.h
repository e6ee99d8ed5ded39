// Listings of large mailboxes, kept in memory until something in their directories changes: a client that
// leaves its mail on the server asks every few minutes, and mostly nothing is new.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <compare>
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "agents/mail/maildir/listing.h"

namespace prov::maildir {

// When each of new/ and cur/ changed last, as of a moment before it was read: a name that comes, goes or
// changes gives the directory another time.
struct DirectoryTimes {
  struct Of {
    dev_t device = 0;
    ino_t inode = 0;
    time_t seconds = 0;  // by the inode's change: the other time can be set back
    long nanoseconds = 0;
    auto operator<=>(const Of&) const = default;
  };
  Of fresh, cur;
  // A change that comes from now on gives another time. False while the last one is so new that the next may
  // come in the same tick of the file system's clock, which on a file server is not ours.
  bool settled = false;

  static absl::StatusOr<DirectoryTimes> Read(const MailboxDirectories& directories);
};

// Thread-safe.
class ListingMemory {
 public:
  static constexpr size_t kMostOctets = 64 << 20;
  static constexpr size_t kFewestMessages = 500;  // fewer are read in no time

  explicit ListingMemory(size_t most_octets = kMostOctets) : most_octets_(most_octets) {}

  // nullptr: it is not known, or has changed.
  std::shared_ptr<const Listing> Find(const DirectoryTimes& times);
  // `times` were read before the listing was. What was not asked for the longest time makes room.
  void Keep(const DirectoryTimes& times, std::shared_ptr<const Listing> listing);

  size_t octets() const;

 private:
  struct Known {
    DirectoryTimes times;
    std::shared_ptr<const Listing> listing;
    size_t octets = 0;
  };
  using Order = std::list<Known>;
  void Drop(Order::iterator known);

  const size_t most_octets_;
  mutable std::mutex mutex_;
  Order known_;                                                      // the one asked for last in front
  std::map<std::pair<dev_t, ino_t>, Order::iterator> by_directory_;  // new/
  size_t octets_ = 0;
};

}  // namespace prov::maildir
