#include "agents/mail/maildir/departure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

#include "agents/mail/maildir/counted_sizes.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/login_time.h"
#include "agents/mail/maildir/mailbox_lock.h"
#include "agents/mail/maildir/quota.h"
#include "agents/mail/maildir/quota_lock.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kMaxNameOctets = 255;
constexpr mode_t kMarkMode = 0600;

// ROOT/xx/yy, and the two places that the mailbox may be in.
struct Places {
  FileDescriptor above;
  std::string live_name, leaving_name, left_name;
  std::optional<FileDescriptor> live, leaving;
};

absl::StatusOr<std::optional<FileDescriptor>> OpenIfThere(int parent, const std::string& name) {
  auto fd = OpenBelow(parent, name);
  if (absl::IsNotFound(fd.status())) return std::nullopt;
  PROV_RETURN_IF_ERROR(fd.status());
  return std::optional(*std::move(fd));
}

absl::StatusOr<Places> PlacesBelow(FileDescriptor above, const std::string& name) {
  Places places{.above = std::move(above),
                .live_name = name,
                .leaving_name = name + kLeavingSuffix,
                .left_name = name + kLeftSuffix,
                .live = {},
                .leaving = {}};
  PROV_ASSIGN_OR_RETURN(places.live, OpenIfThere(places.above.get(), places.live_name));
  PROV_ASSIGN_OR_RETURN(places.leaving, OpenIfThere(places.above.get(), places.leaving_name));
  return places;
}

// Nothing: not even the directory above is there.
absl::StatusOr<std::optional<Places>> OpenPlaces(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  PROV_ASSIGN_OR_RETURN(const FileDescriptor base, OpenRoot(root));
  PROV_ASSIGN_OR_RETURN(const auto first, OpenIfThere(base.get(), steps.first));
  if (!first) return std::nullopt;
  PROV_ASSIGN_OR_RETURN(auto second, OpenIfThere(first->get(), steps.second));
  if (!second) return std::nullopt;
  PROV_ASSIGN_OR_RETURN(Places places, PlacesBelow(*std::move(second), steps.name));
  return std::optional(std::move(places));
}

// As OpenPlaces; the directories above are made, if they are not there.
absl::StatusOr<Places> MakePlaces(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  PROV_ASSIGN_OR_RETURN(FileDescriptor at, OpenRoot(root));
  for (const std::string& step : {steps.first, steps.second}) {
    PROV_ASSIGN_OR_RETURN(FileDescriptor below, MakeAndOpen(at.get(), step));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(at.get(), step));
    at = std::move(below);
  }
  return PlacesBelow(std::move(at), steps.name);
}

absl::Status MarkAsLeft(const Places& places) {
  const FileDescriptor mark(openat(places.above.get(), places.left_name.c_str(),
                                   O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMarkMode));
  if (!mark.valid()) return ErrnoStatus(errno, "create " + places.left_name);
  return SyncOpenDirectory(places.above.get(), "mailboxes");
}

absl::Status ListPart(int mailbox, bool in_cur, std::vector<MessageFile>& files) {
  PROV_ASSIGN_OR_RETURN(const auto part, OpenIfThere(mailbox, in_cur ? "cur" : "new"));
  if (!part) return absl::OkStatus();
  // What cannot be looked at now must not be taken for what its reader deleted: the new place would drop it.
  absl::Status unseen;
  const absl::Status read = ForEachMailName(part->get(), [&](const dirent& entry) {
    struct stat info;
    if (fstatat(part->get(), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) unseen.Update(ErrnoStatus(errno, fmt::format("look at {}", entry.d_name)));
      return;
    }
    if (S_ISREG(info.st_mode)) files.push_back({in_cur, entry.d_name, static_cast<uint64_t>(info.st_size)});
  });
  PROV_RETURN_IF_ERROR(read);
  return unseen;
}

absl::Status ListOne(int mailbox, std::vector<MessageFile>& files) {
  // cur/ after new/: a file that moves meanwhile is seen twice rather than never.
  PROV_RETURN_IF_ERROR(ListPart(mailbox, /*in_cur=*/false, files));
  return ListPart(mailbox, /*in_cur=*/true, files);
}

absl::Status UnlinkAll(int directory) {
  std::vector<std::string> names;
  PROV_RETURN_IF_ERROR(
      ForEachMailName(directory, [&](const dirent& entry) { names.emplace_back(entry.d_name); }));
  for (const std::string& name : names) {
    if (unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, "unlink " + name);
  }
  return absl::OkStatus();
}

// Whether the mailbox, in which there is no message that we know of, is gone. Deliveries under way lose their
// file in tmp/, and are deferred; a message that was finished meanwhile is in new/, which then is not empty.
absl::StatusOr<bool> RemoveEmpty(int above, const std::string& name) {
  PROV_ASSIGN_OR_RETURN(const auto mailbox, OpenIfThere(above, name));
  if (!mailbox) return true;
  PROV_ASSIGN_OR_RETURN(const auto tmp, OpenIfThere(mailbox->get(), "tmp"));
  if (tmp) PROV_RETURN_IF_ERROR(UnlinkAll(tmp->get()));
  for (const char* part : {"tmp", "new", "cur"}) {
    if (unlinkat(mailbox->get(), part, AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
    if (errno == ENOTEMPTY || errno == EEXIST) return false;
    return ErrnoStatus(errno, fmt::format("rmdir {}/{}", name, part));
  }
  // Twice: a delivery that came too late may have made one of them again.
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (const char* own : {kLockFile, kMaildirSizeFile, kQuotaLockFile, kLoginTimeFile, kSizesFile})
      unlinkat(mailbox->get(), own, 0);
    if (unlinkat(above, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
      PROV_RETURN_IF_ERROR(SyncOpenDirectory(above, name));
      return true;
    }
  }
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoStatus(errno, "rmdir " + name);
  return absl::FailedPreconditionError(
      fmt::format("{} holds something that is no mail; look at it, and remove it by hand", name));
}

// A clone with an old view made the mailbox again: what it delivered goes where the rest is.
absl::Status Merge(const Places& places) {
  std::vector<MessageFile> files;
  PROV_RETURN_IF_ERROR(ListOne(places.live->get(), files));
  for (const MessageFile& file : files) {
    const std::string path = DirectoryOf(file) + "/" + file.name;
    if (renameat(places.live->get(), path.c_str(), places.leaving->get(), path.c_str()) != 0 &&
        errno != ENOENT)
      return ErrnoStatus(errno, "rename " + path);
  }
  for (const char* part : {"new", "cur"}) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenBelow(places.leaving->get(), part));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(directory.get(), part));
  }
  PROV_ASSIGN_OR_RETURN(const bool gone, RemoveEmpty(places.above.get(), places.live_name));
  return gone ? absl::OkStatus() : absl::UnavailableError("mail came in meanwhile; hold it again");
}

}  // namespace

bool IsMessageFileName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameOctets && name.front() != '.' &&
         std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c == '/' || c < ' ' || c == 0x7f; });
}

absl::StatusOr<std::vector<MessageFile>> ListMessages(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const auto places, OpenPlaces(root, mailbox_id));
  std::vector<MessageFile> files;
  if (!places) return files;
  if (places->live) PROV_RETURN_IF_ERROR(ListOne(places->live->get(), files));
  if (places->leaving) PROV_RETURN_IF_ERROR(ListOne(places->leaving->get(), files));
  return files;
}

absl::StatusOr<FileDescriptor> OpenMessage(std::string_view root, std::string_view mailbox_id,
                                           const MessageFile& file) {
  if (!IsMessageFileName(file.name)) return InvalidField("file_name", "is no message's");
  PROV_ASSIGN_OR_RETURN(const auto places, OpenPlaces(root, mailbox_id));
  if (!places) return absl::NotFoundError("no such mailbox");
  for (const auto* mailbox : {&places->leaving, &places->live}) {
    if (!*mailbox) continue;
    PROV_ASSIGN_OR_RETURN(const auto part, OpenIfThere((*mailbox)->get(), DirectoryOf(file)));
    if (!part) continue;
    FileDescriptor fd(openat(part->get(), file.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd.valid()) return fd;
    if (errno != ENOENT) return ErrnoStatus(errno, "open " + file.name);
  }
  return absl::NotFoundError("no such message");
}

absl::Status HoldMailbox(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const Places places, MakePlaces(root, mailbox_id));
  if (!places.live) return MarkAsLeft(places);
  PROV_ASSIGN_OR_RETURN(const MailboxLock lock, MailboxLock::Take(places.live->get()));
  // Before the mailbox goes: between the two nobody may make it again.
  PROV_RETURN_IF_ERROR(MarkAsLeft(places));
  if (places.leaving) return Merge(places);
  if (renameat(places.above.get(), places.live_name.c_str(), places.above.get(),
               places.leaving_name.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();  // another call was quicker
    if (errno == ENOTEMPTY || errno == EEXIST) return absl::UnavailableError("hold it again");
    return ErrnoStatus(errno, "rename " + places.live_name);
  }
  return SyncOpenDirectory(places.above.get(), "mailboxes");
}

absl::StatusOr<bool> ReleaseMessages(std::string_view root, std::string_view mailbox_id,
                                     const std::vector<MessageFile>& files) {
  PROV_ASSIGN_OR_RETURN(const auto places, OpenPlaces(root, mailbox_id));
  if (!places) return true;
  if (!places->leaving) return !places->live.has_value();
  for (const MessageFile& file : files) {
    if (!IsMessageFileName(file.name)) return InvalidField("file_name", "is no message's");
    const std::string path = DirectoryOf(file) + "/" + file.name;
    if (unlinkat(places->leaving->get(), path.c_str(), 0) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, "unlink " + path);
  }
  PROV_ASSIGN_OR_RETURN(const bool gone, RemoveEmpty(places->above.get(), places->leaving_name));
  return gone && !places->live;
}

}  // namespace prov::maildir
