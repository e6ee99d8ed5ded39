#include "agents/mail/maildir/layout.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/message_file.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr int kMaxRemovalDepth = 32;       // directories within directories; a Maildir has one level
constexpr int kMaxRemovalAttempts = 8;     // mail that is being delivered meanwhile makes it not empty
constexpr size_t kMostThreads = 8;         // that make mailboxes side by side
constexpr size_t kMailboxesOfThread = 64;  // at least

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, DirCloser>;

absl::Status RemoveEntries(int directory, int depth);

absl::Status RemoveOne(int parent, const std::string& name, int depth) {
  // Files and links first; a link is removed, never what it points to.
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, fmt::format("unlink {}", name));
  for (int attempt = 0;; ++attempt) {
    auto child = OpenBelow(parent, name);
    if (absl::IsNotFound(child.status())) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(child.status());
    PROV_RETURN_IF_ERROR(Annotate(RemoveEntries(child->get(), depth + 1), name));
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return absl::OkStatus();
    const bool filled_again = errno == ENOTEMPTY || errno == EEXIST;
    if (!filled_again || attempt + 1 >= kMaxRemovalAttempts) {
      return ErrnoStatus(errno, fmt::format("rmdir {}", name));
    }
  }
}

absl::Status RemoveEntries(int directory, int depth) {
  if (depth > kMaxRemovalDepth) {
    return absl::FailedPreconditionError(
        fmt::format("more than {} directories within each other; remove them by hand", kMaxRemovalDepth));
  }
  // A stream of its own, from the start: the descriptor's offset is not shared with earlier attempts.
  const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return ErrnoStatus(errno, "open directory to empty it");
  DirStream stream(fdopendir(own));
  if (stream == nullptr) {
    close(own);
    return absl::ResourceExhaustedError("no memory to read a directory");
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) return errno == 0 ? absl::OkStatus() : ErrnoStatus(errno, "read directory");
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    PROV_RETURN_IF_ERROR(RemoveOne(directory, name, depth));
  }
}

absl::Status CheckNotLeft(int above, const std::string& name) {
  struct stat info;
  if (fstatat(above, (name + kLeftSuffix).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    return absl::UnavailableError("the mailbox has been taken to another pool");
  return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "stat " + name + kLeftSuffix);
}

// tmp/ is made last, after all above it and beside it was synced: where it is, the rest is durable. A second
// call, and each delivery, therefore needs to look only for it.
//
// All is made before anything is synced, so that many mailboxes wait for the disk together. What was there
// before is synced as well: whoever made it may have been killed before its sync.
class MailboxMaking {
 public:
  explicit MailboxMaking(std::string_view root) : root_(root) {}

  // `status`, which must live until Finish, is what becomes of it.
  absl::Status Add(const std::string& mailbox_id, absl::Status* status) {
    PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
    PROV_ASSIGN_OR_RETURN(const std::string wrong, InspectMailbox(root_, mailbox_id));
    if (wrong.empty()) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(FileDescriptor directory, OpenRoot(root_));
    for (const std::string& step : {steps.first, steps.second, steps.name}) {
      if (step == steps.name) PROV_RETURN_IF_ERROR(CheckNotLeft(directory.get(), steps.name));
      PROV_ASSIGN_OR_RETURN(FileDescriptor below, MakeAndOpen(directory.get(), step));
      PROV_RETURN_IF_ERROR(sync_.Add(std::exchange(directory, std::move(below))));
    }
    PROV_RETURN_IF_ERROR(MakeBelow(directory.get(), "new"));
    PROV_RETURN_IF_ERROR(MakeBelow(directory.get(), "cur"));
    PROV_RETURN_IF_ERROR(sync_.Add(std::move(directory)));
    unfinished_.push_back({mailbox_id, status});
    return absl::OkStatus();
  }

  void Finish() {
    Sync();
    for (const Unfinished& mailbox : unfinished_) {
      if (mailbox.status->ok()) *mailbox.status = MakeLast(mailbox.id);
    }
    Sync();
  }

 private:
  struct Unfinished {
    std::string id;
    absl::Status* status;
  };

  absl::Status MakeLast(const std::string& mailbox_id) {
    PROV_ASSIGN_OR_RETURN(FileDescriptor mailbox, OpenMailbox(root_, mailbox_id));
    PROV_RETURN_IF_ERROR(MakeBelow(mailbox.get(), "tmp"));
    return sync_.Add(std::move(mailbox));
  }

  void Sync() {
    const absl::Status synced = sync_.Finish("mailboxes");
    for (const Unfinished& mailbox : unfinished_) mailbox.status->Update(synced);
  }

  const std::string root_;
  DirectorySync sync_;
  std::vector<Unfinished> unfinished_;
};

absl::Status RemovePlaces(std::string_view root, std::string_view mailbox_id,
                          std::initializer_list<const char*> suffixes) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  const auto first = OpenBelow(base.get(), steps.first);
  if (absl::IsNotFound(first.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(first.status());
  const auto second = OpenBelow(first->get(), steps.second);
  if (absl::IsNotFound(second.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(second.status());
  for (const char* suffix : suffixes) {
    // A mailbox that is itself a link was put elsewhere by somebody, who should say what becomes of it.
    const auto mailbox = OpenBelow(second->get(), steps.name + suffix);
    if (absl::IsNotFound(mailbox.status())) continue;
    PROV_RETURN_IF_ERROR(mailbox.status());
    PROV_RETURN_IF_ERROR(RemoveOne(second->get(), steps.name + suffix, 0));
  }
  return SyncOpenDirectory(second->get(), steps.second);
}

}  // namespace

absl::StatusOr<std::string> MailboxPath(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  return fmt::format("{}/{}/{}/{}", root, steps.first, steps.second, steps.name);
}

absl::Status EnsureMailbox(std::string_view root, std::string_view mailbox_id) {
  return EnsureMailboxes(root, {std::string(mailbox_id)}).front();
}

std::vector<absl::Status> EnsureMailboxes(std::string_view root,
                                          const std::vector<std::string>& mailbox_ids) {
  std::vector<absl::Status> statuses(mailbox_ids.size());
  const size_t threads = std::clamp<size_t>(mailbox_ids.size() / kMailboxesOfThread, 1, kMostThreads);
  const auto make = [&](size_t first) {
    MailboxMaking making(root);
    for (size_t i = first; i < mailbox_ids.size(); i += threads) {
      statuses[i] = making.Add(mailbox_ids[i], &statuses[i]);
    }
    making.Finish();
  };
  // They act as whoever calls this (setfsuid(2) is inherited).
  std::vector<std::jthread> others;
  for (size_t thread = 1; thread < threads; ++thread) others.emplace_back(make, thread);
  make(0);
  others.clear();
  return statuses;
}

absl::StatusOr<FileDescriptor> OpenOrMakeMailbox(std::string_view root, std::string_view mailbox_id) {
  auto mailbox = OpenMailbox(root, mailbox_id);
  if (mailbox.ok()) {
    PROV_ASSIGN_OR_RETURN(const std::string wrong, InspectParts(mailbox->get()));
    if (wrong.empty()) return mailbox;
  } else if (!absl::IsNotFound(mailbox.status())) {
    return mailbox;
  }
  PROV_RETURN_IF_ERROR(EnsureMailbox(root, mailbox_id));
  return OpenMailbox(root, mailbox_id);
}

absl::StatusOr<std::string> InspectMailbox(std::string_view root, std::string_view mailbox_id) {
  const auto mailbox = OpenMailbox(root, mailbox_id);
  if (absl::IsNotFound(mailbox.status())) {
    // A missing root is a mount that is not there, not a mailbox that is not there.
    PROV_RETURN_IF_ERROR(OpenRoot(root).status());
    return "is missing";
  }
  PROV_RETURN_IF_ERROR(mailbox.status());
  return InspectParts(mailbox->get());
}

absl::StatusOr<std::string> InspectAccess(std::string_view root, std::string_view mailbox_id) {
  const auto mailbox = OpenMailbox(root, mailbox_id);
  if (absl::IsPermissionDenied(mailbox.status())) return "cannot be opened by its owner";
  PROV_RETURN_IF_ERROR(mailbox.status());
  for (const char* part : {".", "tmp", "new", "cur"}) {
    // Of the file system user, whom threads that act for another have changed.
    if (faccessat(mailbox->get(), part, R_OK | W_OK | X_OK, AT_EACCESS) == 0) continue;
    if (errno != EACCES) return ErrnoStatus(errno, fmt::format("access {}", part));
    return fmt::format("{} cannot be used by its owner", part);
  }
  return "";
}

absl::Status RemoveMailbox(std::string_view root, std::string_view mailbox_id) {
  return RemovePlaces(root, mailbox_id, {"", kLeavingSuffix, kArrivingSuffix});
}

absl::Status RemoveArriving(std::string_view root, std::string_view mailbox_id) {
  return RemovePlaces(root, mailbox_id, {kArrivingSuffix});
}

}  // namespace prov::maildir
