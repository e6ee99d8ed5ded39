// What lies in new/ and cur/ of a mailbox, in order of arrival.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/maildir/name_store.h"

namespace prov::maildir {

// More than these wait for a later session, when the older ones are gone.
constexpr size_t kMaxMessages = 100'000;

struct Message {
  uint64_t octets = 0;    // with CRLF line ends
  std::string_view uidl;  // lives as long as the listing
};

struct Entry {
  std::string_view name;
  bool in_new = false;
};

// Of message i: entries[i] and messages[i]. Their texts live as long as the listing.
struct Listing {
  NameStore names;
  std::vector<Entry> entries;
  std::vector<Message> messages;
  bool sizes_in_names = true;  // of all of them

  size_t octets_of_memory() const;
};

// The open directories of a mailbox.
struct MailboxDirectories {
  int mailbox = -1, fresh = -1, cur = -1;

  int Of(const Entry& entry) const { return entry.in_new ? fresh : cur; }
};

enum class Sizes { kOfNamesAndFiles, kOfNames };

// The oldest kMaxMessages; of those with one base, one. Sizes that names do not tell are counted, and kept
// for the next time (counted_sizes.h), unless `sizes` forbids it: then UNAVAILABLE.
absl::StatusOr<std::shared_ptr<const Listing>> ReadListing(const MailboxDirectories& directories,
                                                           Sizes sizes);

}  // namespace prov::maildir
