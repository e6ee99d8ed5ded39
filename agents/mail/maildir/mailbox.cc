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
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "agents/mail/maildir/quota_share.h"
#include "agents/mail/maildir/wire_text.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kReadOctets = 64 * 1024;
constexpr time_t kAbandonedSeconds = 36 * 3600;  // of a file in tmp/, as the Maildir convention has it

struct Entry {
  std::string name;
  bool in_new = false;
};

absl::StatusOr<FileDescriptor> OpenFile(int directory, const std::string& name) {
  // O_NONBLOCK: somebody's FIFO must not hold us up.
  FileDescriptor file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("open message {}", name));
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("stat message {}", name));
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError(fmt::format("{} is no file", name));
  return file;
}

class FileReader : public MessageReader {
 public:
  explicit FileReader(FileDescriptor file) : file_(std::move(file)), buffer_(kReadOctets, '\0') {}

  absl::StatusOr<std::string> Read() override {
    std::string wire;
    while (wire.empty() && !ended_) {
      const ssize_t got = read(file_.get(), buffer_.data(), buffer_.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "read message");
      ended_ = got == 0;
      text_.Convert(std::string_view(buffer_).substr(0, static_cast<size_t>(got)), wire);
      if (ended_) text_.Finish(wire);
    }
    return wire;
  }

 private:
  FileDescriptor file_;
  std::string buffer_;
  WireText text_;
  bool ended_ = false;
};

absl::StatusOr<uint64_t> CountWireOctets(int directory, const std::string& name) {
  PROV_ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(directory, name));
  FileReader reader(std::move(file));
  for (uint64_t octets = 0;;) {
    PROV_ASSIGN_OR_RETURN(const std::string piece, reader.Read());
    if (piece.empty()) return octets;
    octets += piece.size();
  }
}

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
  LockedMailbox(FileDescriptor mailbox, FileDescriptor fresh, FileDescriptor cur, MailboxLock lock)
      : lock_(std::move(lock)), mailbox_(std::move(mailbox)), new_(std::move(fresh)), cur_(std::move(cur)) {}

  const std::vector<Message>& messages() const override { return messages_; }

  // cur/ is read after new/: a file that moves meanwhile is seen twice rather than never.
  absl::Status Scan() {
    std::unordered_map<std::string, Entry> by_base;
    for (const bool in_new : {true, false}) {
      const int directory = DirectoryOf(in_new);
      PROV_RETURN_IF_ERROR(ForEachMailName(directory, [&](const dirent& entry) {
        if (!IsRegularFile(directory, entry)) return;
        by_base.insert_or_assign(std::string(BaseOf(entry.d_name)), Entry{entry.d_name, in_new});
      }));
    }
    std::vector<Entry> found;
    found.reserve(by_base.size());
    for (auto& [base, entry] : by_base) found.push_back(std::move(entry));
    std::sort(found.begin(), found.end(),
              [](const Entry& a, const Entry& b) { return ArrivalOf(a.name) < ArrivalOf(b.name); });
    return Keep(std::move(found));
  }

  absl::StatusOr<std::unique_ptr<MessageReader>> OpenMessage(size_t index) override {
    if (index >= entries_.size()) return absl::NotFoundError("no such message");
    Entry& entry = entries_[index];
    auto file = OpenFile(DirectoryOf(entry.in_new), entry.name);
    if (absl::IsNotFound(file.status())) {
      // Another program moved it to cur/ or changed its flags, or it is gone.
      PROV_ASSIGN_OR_RETURN(const NamesByBase names, NamesInCur());
      if (FollowMove(entry, names)) file = OpenFile(DirectoryOf(entry.in_new), entry.name);
    }
    PROV_RETURN_IF_ERROR(file.status());
    return std::make_unique<FileReader>(*std::move(file));
  }

  absl::Status Remove(const std::vector<size_t>& indices) override {
    absl::Status first_error;
    std::optional<NamesByBase> moved;
    const bool counts = KeepsCount(mailbox_.get());
    absl::StatusOr<QuotaLock> counting = QuotaLock();
    if (counts) counting = QuotaLock::Share(mailbox_.get());
    for (const size_t index : indices) {
      if (index < entries_.size()) first_error.Update(RemoveOne(entries_[index], moved));
    }
    // The sum is not worth a refused deletion: it is counted anew when it says that the mailbox is full.
    if (counts && gone_.messages > 0) {
      const absl::Status counted =
          counting.ok() ? SubtractUsage(mailbox_.get(), gone_, *counting) : counting.status();
      if (!counted.ok()) Log(Level::kWarning, "quota_not_counted", {{"error", counted}});
    }
    gone_ = {};
    first_error.Update(SyncOpenDirectory(new_.get(), "new"));
    first_error.Update(SyncOpenDirectory(cur_.get(), "cur"));
    return first_error;
  }

 private:
  int DirectoryOf(bool in_new) const { return in_new ? new_.get() : cur_.get(); }

  absl::Status Keep(std::vector<Entry> found) {
    for (Entry& entry : found) {
      if (entries_.size() == kMaxMessages) {
        Log(Level::kWarning, "mailbox_listed_in_part",
            {{"messages", found.size()}, {"listed", kMaxMessages}});
        return absl::OkStatus();
      }
      std::optional<uint64_t> octets = WireOctetsOf(entry.name);
      if (!octets) {
        const auto counted = CountWireOctets(DirectoryOf(entry.in_new), entry.name);
        if (absl::IsNotFound(counted.status())) continue;  // gone since it was listed
        PROV_RETURN_IF_ERROR(counted.status());
        octets = *counted;
      }
      messages_.push_back({*octets, UidlOf(entry.name)});
      entries_.push_back(std::move(entry));
    }
    return absl::OkStatus();
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
  static bool FollowMove(Entry& entry, const NamesByBase& names) {
    const auto found = names.find(std::string(BaseOf(entry.name)));
    if (found == names.end()) return false;
    entry = Entry{found->second, false};
    return true;
  }

  // The file's errno; 0 when it is removed.
  int Unlink(const Entry& entry) {
    const int directory = DirectoryOf(entry.in_new);
    const auto counted = CountedOctets(directory, entry.name.c_str());
    if (unlinkat(directory, entry.name.c_str(), 0) != 0) return errno;
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

  const MailboxLock lock_;  // ends last
  FileDescriptor mailbox_, new_, cur_;
  Usage gone_;  // removed, and not yet taken off the mailbox's sum
  std::vector<Entry> entries_;
  std::vector<Message> messages_;
};

absl::Status CheckStillThere(std::string_view root, std::string_view mailbox_id, int mailbox) {
  const auto there = OpenMailbox(root, mailbox_id);
  struct stat ours, theirs;
  const bool same = there.ok() && fstat(mailbox, &ours) == 0 && fstat(there->get(), &theirs) == 0 &&
                    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
  return same ? absl::OkStatus() : absl::UnavailableError("the mailbox has just gone elsewhere");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Open(std::string_view root, std::string_view mailbox_id) {
  PROV_RETURN_IF_ERROR(EnsureMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(FileDescriptor mailbox, OpenMailbox(root, mailbox_id));
  PROV_ASSIGN_OR_RETURN(MailboxLock lock, MailboxLock::Take(mailbox.get()));
  // Whoever had it before may have taken it away meanwhile (departure.h).
  PROV_RETURN_IF_ERROR(CheckStillThere(root, mailbox_id, mailbox.get()));
  RemoveAbandoned(mailbox.get());
  PROV_ASSIGN_OR_RETURN(FileDescriptor fresh, OpenBelow(mailbox.get(), "new"));
  PROV_ASSIGN_OR_RETURN(FileDescriptor cur, OpenBelow(mailbox.get(), "cur"));
  auto opened =
      std::make_unique<LockedMailbox>(std::move(mailbox), std::move(fresh), std::move(cur), std::move(lock));
  PROV_RETURN_IF_ERROR(opened->Scan());
  return opened;
}

}  // namespace prov::maildir
