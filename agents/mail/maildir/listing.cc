#include "agents/mail/maildir/listing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "agents/mail/maildir/counted_sizes.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/message_text.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

// While they are put in order of arrival.
struct Found {
  Entry entry;
  uint64_t seconds = 0, microseconds = 0;

  Found(std::string_view name, bool in_new) : entry{name, in_new} {
    std::tie(seconds, microseconds, std::ignore) = ArrivalOf(name);
  }
  std::string_view base() const { return BaseOf(entry.name); }
  // Of two with one base, that in cur/ comes first.
  bool operator<(const Found& other) const {
    return std::tuple(seconds, microseconds, base(), entry.in_new) <
           std::tuple(other.seconds, other.microseconds, other.base(), other.entry.in_new);
  }
};

class Lister {
 public:
  Lister(const MailboxDirectories& directories, Sizes sizes) : directories_(directories), from_(sizes) {}

  absl::Status Run() {
    PROV_ASSIGN_OR_RETURN(const std::vector<Found> found, Find());
    const size_t most = std::min(found.size(), kMaxMessages);
    listing_->messages.reserve(most);
    listing_->entries.reserve(most);
    for (const Found& one : found) {
      if (listing_->entries.size() == kMaxMessages) break;
      const absl::Status added = Add(one.entry);
      if (!absl::IsNotFound(added)) PROV_RETURN_IF_ERROR(added);  // gone since it was listed
    }
    const absl::Status kept = counted_ ? counted_->Keep(directories_.mailbox) : absl::OkStatus();
    if (!kept.ok()) Log(Level::kWarning, "message_sizes_not_kept", {{"error", kept}});
    return absl::OkStatus();
  }

  std::shared_ptr<const Listing> Take() { return std::move(listing_); }

 private:
  // cur/ is read after new/: a file that moves meanwhile is seen twice rather than never.
  absl::StatusOr<std::vector<Found>> Find() {
    std::vector<Found> found;
    for (const bool in_new : {true, false}) {
      const int directory = in_new ? directories_.fresh : directories_.cur;
      PROV_RETURN_IF_ERROR(ForEachMailName(directory, [&](const dirent& entry) {
        if (IsRegularFile(directory, entry)) found.emplace_back(listing_->names.Keep(entry.d_name), in_new);
      }));
    }
    std::sort(found.begin(), found.end());
    const auto same = [](const Found& a, const Found& b) { return a.base() == b.base(); };
    found.erase(std::unique(found.begin(), found.end(), same), found.end());
    if (found.size() > kMaxMessages) {
      Log(Level::kWarning, "mailbox_listed_in_part", {{"messages", found.size()}, {"listed", kMaxMessages}});
    }
    return found;
  }

  absl::Status Add(const Entry& entry) {
    std::optional<uint64_t> octets = WireOctetsOf(entry.name);
    if (!octets) {
      if (from_ == Sizes::kOfNames) return absl::UnavailableError("a size is not in the name");
      listing_->sizes_in_names = false;
      PROV_ASSIGN_OR_RETURN(octets, CountOrRecall(entry));
    }
    listing_->messages.push_back({*octets, KeepUidl(entry.name)});
    listing_->entries.push_back(entry);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> CountOrRecall(const Entry& entry) {
    if (!counted_) counted_.emplace(directories_.mailbox);
    const std::string name(entry.name);
    struct stat info;
    if (fstatat(directories_.Of(entry), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return ErrnoStatus(errno, fmt::format("stat {}", name));
    const auto stored = static_cast<uint64_t>(info.st_size);
    if (const auto known = counted_->Find(BaseOf(entry.name), stored)) return *known;
    PROV_ASSIGN_OR_RETURN(const uint64_t octets, CountWireOctets(directories_.Of(entry), name));
    counted_->Note(BaseOf(entry.name), stored, octets);
    return octets;
  }

  // Of two messages with one imported id, a copy that somebody made, the second is called by its name:
  // clients would take the two for one.
  std::string_view KeepUidl(std::string_view name) {
    const std::string uidl = UidlOf(name);
    const std::string_view base = BaseOf(name);
    if (uidl == base) return base;
    const std::string_view kept = listing_->names.Keep(uidl);
    if (!ImportedUidlOf(name) || imported_.insert(kept).second) return kept;
    return listing_->names.Keep(UidlOfName(name));
  }

  const MailboxDirectories directories_;
  const Sizes from_;
  std::shared_ptr<Listing> listing_ = std::make_shared<Listing>();
  std::optional<CountedSizes> counted_;
  std::unordered_set<std::string_view> imported_;
};

}  // namespace

size_t Listing::octets_of_memory() const {
  return names.octets() + entries.capacity() * sizeof(Entry) + messages.capacity() * sizeof(Message);
}

absl::StatusOr<std::shared_ptr<const Listing>> ReadListing(const MailboxDirectories& directories,
                                                           Sizes sizes) {
  Lister lister(directories, sizes);
  PROV_RETURN_IF_ERROR(lister.Run());
  return lister.Take();
}

}  // namespace prov::maildir
