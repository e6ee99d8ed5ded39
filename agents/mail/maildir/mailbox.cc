#include "agents/mail/maildir/mailbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "agents/mail/maildir/counted_sizes.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/held_mailbox.h"
#include "agents/mail/maildir/login_time.h"
#include "agents/mail/maildir/message_text.h"
#include "agents/mail/maildir/name_store.h"
#include "agents/mail/maildir/quota_share.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr time_t kAbandonedSeconds = 36 * 3600;  // of a file in tmp/, as the Maildir convention has it

struct Entry {
  std::string_view name;
  bool in_new = false;
};

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

// Deliveries that were killed leave their file in tmp/.
void RemoveAbandoned(int mailbox) {
  const auto tmp = OpenBelow(mailbox, "tmp");
  if (!tmp.ok()) return;
  std::vector<std::string> old;
  const time_t limit = time(nullptr) - kAbandonedSeconds;
  const absl::Status read = ForEachMailName(tmp->get(), [&](const dirent& entry) {
    struct stat info;
    if (fstatat(tmp->get(), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (S_ISREG(info.st_mode) && info.st_mtime < limit) old.emplace_back(entry.d_name);
  });
  if (!read.ok()) Log(Level::kWarning, "maildir_tmp_unreadable", {{"error", read}});
  for (const std::string& name : old) unlinkat(tmp->get(), name.c_str(), 0);
}

class LockedMailbox : public Mailbox {
 public:
  LockedMailbox(HeldMailbox held, FileDescriptor fresh, FileDescriptor cur)
      : held_(std::move(held)), new_(std::move(fresh)), cur_(std::move(cur)) {}

  const std::vector<Message>& messages() const override { return messages_; }

  // cur/ is read after new/: a file that moves meanwhile is seen twice rather than never.
  absl::Status Scan() {
    std::vector<Found> found;
    for (const bool in_new : {true, false}) {
      const int directory = DirectoryOf(in_new);
      PROV_RETURN_IF_ERROR(ForEachMailName(directory, [&](const dirent& entry) {
        if (IsRegularFile(directory, entry)) found.emplace_back(names_.Keep(entry.d_name), in_new);
      }));
    }
    std::sort(found.begin(), found.end());
    const auto same = [](const Found& a, const Found& b) { return a.base() == b.base(); };
    found.erase(std::unique(found.begin(), found.end(), same), found.end());
    if (found.size() > kMaxMessages) {
      Log(Level::kWarning, "mailbox_listed_in_part", {{"messages", found.size()}, {"listed", kMaxMessages}});
    }
    return Keep(found);
  }

  absl::Status Note() const { return NoteLogin(held_.directory()); }

  absl::StatusOr<std::unique_ptr<MessageReader>> OpenMessage(size_t index) override {
    if (index >= entries_.size()) return absl::NotFoundError("no such message");
    Entry& entry = entries_[index];
    auto reader = OpenText(DirectoryOf(entry.in_new), std::string(entry.name));
    if (absl::IsNotFound(reader.status())) {
      // Another program moved it to cur/ or changed its flags, or it is gone.
      PROV_ASSIGN_OR_RETURN(const NamesByBase names, NamesInCur());
      if (FollowMove(entry, names)) reader = OpenText(DirectoryOf(entry.in_new), std::string(entry.name));
    }
    return reader;
  }

  absl::Status Remove(const std::vector<size_t>& indices) override {
    PROV_RETURN_IF_ERROR(held_.MakeSure());
    absl::Status first_error;
    std::optional<NamesByBase> moved;
    const bool counts = KeepsCount(held_.directory());
    absl::StatusOr<QuotaLock> counting = QuotaLock();
    if (counts) counting = QuotaLock::Share(held_.directory());
    for (const size_t index : indices) {
      // A call may take as long as a partition: what is next need not be ours any more.
      const absl::Status ours = held_.MakeSureOfLock();
      first_error.Update(ours);
      if (!ours.ok()) break;
      if (index < entries_.size()) first_error.Update(RemoveOne(entries_[index], moved));
    }
    // The sum is not worth a refused deletion: it is counted anew when it says that the mailbox is full.
    if (counts && gone_.messages > 0) {
      const absl::Status counted =
          counting.ok() ? SubtractUsage(held_.directory(), gone_, *counting) : counting.status();
      if (!counted.ok()) Log(Level::kWarning, "quota_not_counted", {{"error", counted}});
    }
    gone_ = {};
    first_error.Update(SyncOpenDirectory(new_.get(), "new"));
    first_error.Update(SyncOpenDirectory(cur_.get(), "cur"));
    return first_error;
  }

  absl::StatusOr<size_t> Expire(const std::vector<size_t>& fetched, std::chrono::seconds age) override {
    const time_t limit = time(nullptr) - static_cast<time_t>(age.count());
    std::vector<size_t> expired;
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (!entries_[i].in_new && IsSeen(entries_[i].name) && ChangedBefore(entries_[i], limit))
        expired.push_back(i);
    }
    if (!expired.empty()) PROV_RETURN_IF_ERROR(Remove(expired));
    for (const size_t index : fetched) {
      PROV_RETURN_IF_ERROR(held_.MakeSureOfLock());
      PROV_RETURN_IF_ERROR(MarkSeen(entries_[index]));
    }
    return expired.size();
  }

 private:
  int DirectoryOf(bool in_new) const { return in_new ? new_.get() : cur_.get(); }

  absl::Status Keep(const std::vector<Found>& found) {
    const size_t most = std::min(found.size(), kMaxMessages);
    messages_.reserve(most);
    entries_.reserve(most);
    std::optional<CountedSizes> sizes;
    ImportedUidls imported;
    for (const Found& one : found) {
      if (entries_.size() == kMaxMessages) break;
      std::optional<uint64_t> octets = WireOctetsOf(one.entry.name);
      if (!octets) {
        if (!sizes) sizes.emplace(held_.directory());
        const auto counted = SizeOf(one.entry, *sizes);
        if (absl::IsNotFound(counted.status())) continue;  // gone since it was listed
        PROV_RETURN_IF_ERROR(counted.status());
        octets = *counted;
      }
      messages_.push_back({*octets, KeepUidl(one.entry.name, imported)});
      entries_.push_back(one.entry);
    }
    const absl::Status kept = sizes ? sizes->Keep(held_.directory()) : absl::OkStatus();
    if (!kept.ok()) Log(Level::kWarning, "message_sizes_not_kept", {{"error", kept}});
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> SizeOf(const Entry& entry, CountedSizes& sizes) const {
    const int directory = DirectoryOf(entry.in_new);
    const std::string name(entry.name);
    struct stat info;
    if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return ErrnoStatus(errno, fmt::format("stat {}", name));
    const auto stored = static_cast<uint64_t>(info.st_size);
    if (const auto known = sizes.Find(BaseOf(entry.name), stored)) return *known;
    PROV_ASSIGN_OR_RETURN(const uint64_t octets, CountWireOctets(directory, name));
    sizes.Note(BaseOf(entry.name), stored, octets);
    return octets;
  }

  using ImportedUidls = std::unordered_set<std::string_view>;

  // Of two messages with one imported id, a copy that somebody made, the second is called by its name:
  // clients would take the two for one.
  std::string_view KeepUidl(std::string_view name, ImportedUidls& imported) {
    const std::string uidl = UidlOf(name);
    const std::string_view base = BaseOf(name);
    if (uidl == base) return base;
    const std::string_view kept = names_.Keep(uidl);
    if (!ImportedUidlOf(name) || imported.insert(kept).second) return kept;
    return names_.Keep(UidlOfName(name));
  }

  bool ChangedBefore(const Entry& entry, time_t limit) const {
    struct stat info;
    return fstatat(cur_.get(), std::string(entry.name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           info.st_ctim.tv_sec <= limit;
  }

  // Not made durable: a mark that is lost keeps the message for longer.
  absl::Status MarkSeen(Entry& entry) {
    const std::optional<std::string> seen = SeenNameOf(entry.name);
    if (!seen || (*seen == entry.name && !entry.in_new)) return absl::OkStatus();
    const int directory = DirectoryOf(entry.in_new);
    if (renameat(directory, std::string(entry.name).c_str(), cur_.get(), seen->c_str()) == 0) {
      entry = Entry{names_.Keep(*seen), false};
      return absl::OkStatus();
    }
    // Removed, or moved by another program, which then has flags of its own for it.
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "mark message as seen");
  }

  using NamesByBase = std::unordered_map<std::string, std::string>;

  absl::StatusOr<NamesByBase> NamesInCur() const {
    NamesByBase names;
    PROV_RETURN_IF_ERROR(ForEachMailName(cur_.get(), [&](const dirent& entry) {
      names.insert_or_assign(std::string(BaseOf(entry.d_name)), entry.d_name);
    }));
    return names;
  }

  // False when it is gone altogether.
  bool FollowMove(Entry& entry, const NamesByBase& names) {
    const auto found = names.find(std::string(BaseOf(entry.name)));
    if (found == names.end()) return false;
    entry = Entry{names_.Keep(found->second), false};
    return true;
  }

  // The file's errno; 0 when it is removed.
  int Unlink(const Entry& entry) {
    const int directory = DirectoryOf(entry.in_new);
    const std::string name(entry.name);
    const auto counted = CountedOctets(directory, name.c_str());
    if (unlinkat(directory, name.c_str(), 0) != 0) return errno;
    gone_.octets += counted.value_or(0);
    gone_.messages += counted ? 1 : 0;
    return 0;
  }

  // `moved` is filled at the first file that is not where it was: one look at cur/ for all of them.
  absl::Status RemoveOne(Entry& entry, std::optional<NamesByBase>& moved) {
    int error = Unlink(entry);
    if (error == ENOENT) {
      if (!moved) {
        PROV_ASSIGN_OR_RETURN(moved, NamesInCur());
      }
      if (!FollowMove(entry, *moved)) return absl::OkStatus();
      error = Unlink(entry);
    }
    if (error == 0 || error == ENOENT) return absl::OkStatus();
    return ErrnoStatus(error, fmt::format("remove {}", entry.name));
  }

  const HeldMailbox held_;  // ends last
  FileDescriptor new_, cur_;
  Usage gone_;  // removed, and not yet taken off the mailbox's sum
  NameStore names_;
  std::vector<Entry> entries_;
  std::vector<Message> messages_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Open(std::string_view root, std::string_view mailbox_id,
                                                       std::chrono::seconds login_delay) {
  PROV_ASSIGN_OR_RETURN(HeldMailbox held, HeldMailbox::Take(root, mailbox_id));
  if (login_delay.count() > 0) PROV_RETURN_IF_ERROR(CheckLastLogin(held.directory(), login_delay));
  RemoveAbandoned(held.directory());
  PROV_ASSIGN_OR_RETURN(FileDescriptor fresh, OpenBelow(held.directory(), "new"));
  PROV_ASSIGN_OR_RETURN(FileDescriptor cur, OpenBelow(held.directory(), "cur"));
  auto opened = std::make_unique<LockedMailbox>(std::move(held), std::move(fresh), std::move(cur));
  PROV_RETURN_IF_ERROR(opened->Scan());
  // Not before: a login that cannot be served may be tried again at once.
  if (login_delay.count() > 0) PROV_RETURN_IF_ERROR(opened->Note());
  return opened;
}

}  // namespace prov::maildir
