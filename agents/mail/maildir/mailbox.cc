#include "agents/mail/maildir/mailbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <unordered_map>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/held_mailbox.h"
#include "agents/mail/maildir/listing.h"
#include "agents/mail/maildir/listing_memory.h"
#include "agents/mail/maildir/login_time.h"
#include "agents/mail/maildir/message_text.h"
#include "agents/mail/maildir/name_store.h"
#include "agents/mail/maildir/quota_share.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

// A directory of that size takes a loop less than a millisecond to read.
constexpr off_t kMostSmallOctets = 64 * 1024;
constexpr time_t kAbandonedSeconds = 36 * 3600;  // of a file in tmp/, as the Maildir convention has it

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

// Invalid when it is not small, or not in memory.
FileDescriptor OpenSmall(int mailbox, const std::string& part) {
  FileDescriptor directory = OpenFromMemory(mailbox, part, O_RDONLY | O_DIRECTORY);
  struct stat info;
  const bool small =
      directory.valid() && fstat(directory.get(), &info) == 0 && info.st_size <= kMostSmallOctets;
  return small ? std::move(directory) : FileDescriptor();
}

bool IsEmpty(const FileDescriptor& directory) {
  bool empty = directory.valid();
  const absl::Status read = ForEachMailName(directory.get(), [&empty](const dirent&) { empty = false; });
  return read.ok() && empty;
}

class LockedMailbox : public Mailbox {
 public:
  LockedMailbox(HeldMailbox held, FileDescriptor fresh, FileDescriptor cur)
      : held_(std::move(held)), new_(std::move(fresh)), cur_(std::move(cur)) {}

  const std::vector<Message>& messages() const override { return listing_->messages; }

  absl::Status Scan(Sizes sizes) {
    PROV_ASSIGN_OR_RETURN(listing_, ReadListing(OpenOnes(), sizes));
    return absl::OkStatus();
  }
  // The same of what is not in memory.
  absl::Status ScanOrRecall(ListingMemory& memory) {
    PROV_ASSIGN_OR_RETURN(const DirectoryTimes times, DirectoryTimes::Read(OpenOnes()));
    listing_ = memory.Find(times);
    if (listing_) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(Scan(Sizes::kOfNamesAndFiles));
    memory.Keep(times, listing_);
    return absl::OkStatus();
  }

  absl::Status Note() const { return NoteLogin(held_.directory()); }

  // Until something is to be done in them.
  void LetGoOfDirectories() {
    new_ = FileDescriptor();
    cur_ = FileDescriptor();
    held_.LetGo();
  }

  std::unique_ptr<MessageReader> OpenMessageFromMemory(size_t index) override {
    // RESOLVE_CACHED is about the way to a file; to open it may be a word to a server all the same.
    if (index >= size() || !held_.is_on_local_disk() || !OpenDirectoriesFromMemory()) return nullptr;
    const Entry entry = EntryOf(index);
    return OpenTextFromMemory(DirectoryOf(entry.in_new), std::string(entry.name));
  }

  absl::StatusOr<std::unique_ptr<MessageReader>> OpenMessage(size_t index) override {
    if (index >= size()) return absl::NotFoundError("no such message");
    PROV_RETURN_IF_ERROR(OpenDirectories());
    auto reader = OpenTextOf(index);
    if (absl::IsNotFound(reader.status())) {
      // Another program moved it to cur/ or changed its flags, or it is gone.
      PROV_ASSIGN_OR_RETURN(const NamesByBase names, NamesInCur());
      if (FollowMove(index, names)) reader = OpenTextOf(index);
    }
    return reader;
  }

  absl::Status Remove(const std::vector<size_t>& indices) override {
    PROV_RETURN_IF_ERROR(held_.MakeSure());
    PROV_RETURN_IF_ERROR(OpenDirectories());
    absl::Status first_error;
    std::optional<NamesByBase> moved;
    const bool counts = KeepsCount(held_.directory());
    absl::StatusOr<QuotaLock> counting = QuotaLock();
    if (counts) counting = QuotaLock::Share(held_.directory());
    for (const size_t index : indices) {
      // A call may take as long as a partition: what is next need not be ours any more, nor be here.
      const absl::Status ours = held_.MakeSure();
      first_error.Update(ours);
      if (!ours.ok()) break;
      if (index < size()) first_error.Update(RemoveOne(index, moved));
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
    PROV_RETURN_IF_ERROR(OpenDirectories());
    const time_t limit = time(nullptr) - static_cast<time_t>(age.count());
    std::vector<size_t> expired;
    for (size_t i = 0; i < size(); ++i) {
      const Entry entry = EntryOf(i);
      if (!entry.in_new && IsSeen(entry.name) && ChangedBefore(entry, limit)) expired.push_back(i);
    }
    if (!expired.empty()) PROV_RETURN_IF_ERROR(Remove(expired));
    for (const size_t index : fetched) {
      PROV_RETURN_IF_ERROR(held_.MakeSure());
      PROV_RETURN_IF_ERROR(MarkSeen(index));
    }
    return expired.size();
  }

 private:
  size_t size() const { return listing_->entries.size(); }

  absl::Status OpenDirectories() {
    PROV_RETURN_IF_ERROR(held_.Reopen());
    if (new_.valid() && cur_.valid()) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(new_, OpenBelow(held_.directory(), "new"));
    PROV_ASSIGN_OR_RETURN(cur_, OpenBelow(held_.directory(), "cur"));
    return absl::OkStatus();
  }
  bool OpenDirectoriesFromMemory() {
    if (new_.valid() && cur_.valid()) return true;
    if (!held_.ReopenFromMemory()) return false;
    new_ = maildir::OpenFromMemory(held_.directory(), "new", O_RDONLY | O_DIRECTORY);
    cur_ = maildir::OpenFromMemory(held_.directory(), "cur", O_RDONLY | O_DIRECTORY);
    return new_.valid() && cur_.valid();
  }
  MailboxDirectories OpenOnes() const { return {held_.directory(), new_.get(), cur_.get()}; }
  // While they are open.
  int DirectoryOf(bool in_new) const { return in_new ? new_.get() : cur_.get(); }

  // Where it is now, as far as we know.
  Entry EntryOf(size_t index) const {
    const auto moved = moved_.find(index);
    return moved == moved_.end() ? listing_->entries[index] : moved->second;
  }

  absl::StatusOr<std::unique_ptr<MessageReader>> OpenTextOf(size_t index) const {
    const Entry entry = EntryOf(index);
    return OpenText(DirectoryOf(entry.in_new), std::string(entry.name));
  }

  bool ChangedBefore(const Entry& entry, time_t limit) const {
    struct stat info;
    return fstatat(cur_.get(), std::string(entry.name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           info.st_ctim.tv_sec <= limit;
  }

  // Not made durable: a mark that is lost keeps the message for longer.
  absl::Status MarkSeen(size_t index) {
    const Entry entry = EntryOf(index);
    const std::optional<std::string> seen = SeenNameOf(entry.name);
    if (!seen || (*seen == entry.name && !entry.in_new)) return absl::OkStatus();
    const int directory = DirectoryOf(entry.in_new);
    if (renameat(directory, std::string(entry.name).c_str(), cur_.get(), seen->c_str()) == 0) {
      moved_[index] = Entry{names_.Keep(*seen), false};
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
  bool FollowMove(size_t index, const NamesByBase& names) {
    const auto found = names.find(std::string(BaseOf(EntryOf(index).name)));
    if (found == names.end()) return false;
    moved_[index] = Entry{names_.Keep(found->second), false};
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
  absl::Status RemoveOne(size_t index, std::optional<NamesByBase>& moved) {
    int error = Unlink(EntryOf(index));
    if (error == ENOENT) {
      if (!moved) {
        PROV_ASSIGN_OR_RETURN(moved, NamesInCur());
      }
      if (!FollowMove(index, *moved)) return absl::OkStatus();
      error = Unlink(EntryOf(index));
    }
    if (error == 0 || error == ENOENT) return absl::OkStatus();
    return ErrnoStatus(error, fmt::format("remove {}", EntryOf(index).name));
  }

  HeldMailbox held_;  // ends last
  FileDescriptor new_, cur_;
  Usage gone_;                               // removed, and not yet taken off the mailbox's sum
  std::shared_ptr<const Listing> listing_;   // may be others' as well
  std::unordered_map<size_t, Entry> moved_;  // since, by others or by us
  NameStore names_;                          // of moved_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Open(std::string_view root, std::string_view mailbox_id,
                                                       std::chrono::seconds login_delay,
                                                       ListingMemory* memory) {
  PROV_ASSIGN_OR_RETURN(HeldMailbox held, HeldMailbox::Take(root, mailbox_id));
  if (login_delay.count() > 0) PROV_RETURN_IF_ERROR(CheckLastLogin(held.directory(), login_delay));
  RemoveAbandoned(held.directory());
  PROV_ASSIGN_OR_RETURN(FileDescriptor fresh, OpenBelow(held.directory(), "new"));
  PROV_ASSIGN_OR_RETURN(FileDescriptor cur, OpenBelow(held.directory(), "cur"));
  auto opened = std::make_unique<LockedMailbox>(std::move(held), std::move(fresh), std::move(cur));
  PROV_RETURN_IF_ERROR(memory == nullptr ? opened->Scan(Sizes::kOfNamesAndFiles)
                                         : opened->ScanOrRecall(*memory));
  // Not before: a login that cannot be served may be tried again at once.
  if (login_delay.count() > 0) PROV_RETURN_IF_ERROR(opened->Note());
  opened->LetGoOfDirectories();
  return opened;
}

std::unique_ptr<Mailbox> Mailbox::OpenFromMemory(std::string_view root, std::string_view mailbox_id) {
  auto held = HeldMailbox::TakeFromMemory(root, mailbox_id);
  if (!held) return nullptr;
  FileDescriptor fresh = OpenSmall(held->directory(), "new"), cur = OpenSmall(held->directory(), "cur");
  // What was abandoned in tmp/ is removed by Open, and that may block.
  if (!fresh.valid() || !cur.valid() || !IsEmpty(OpenSmall(held->directory(), "tmp"))) return nullptr;
  auto opened = std::make_unique<LockedMailbox>(*std::move(held), std::move(fresh), std::move(cur));
  if (!opened->Scan(Sizes::kOfNames).ok()) return nullptr;
  opened->LetGoOfDirectories();
  return opened;
}

}  // namespace prov::maildir
