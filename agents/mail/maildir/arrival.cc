#include "agents/mail/maildir/arrival.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/quota.h"
#include "agents/mail/maildir/quota_lock.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr mode_t kFileMode = 0600;

absl::Status AddPart(int mailbox, bool in_cur, std::map<std::string, MessageFile>& here) {
  const auto part = OpenBelow(mailbox, in_cur ? "cur" : "new");
  if (absl::IsNotFound(part.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(part.status());
  // What cannot be looked at now is there all the same: passed over it would be lost with the staging.
  absl::Status unseen;
  const absl::Status read = ForEachMailName(part->get(), [&](const dirent& entry) {
    struct stat info;
    if (fstatat(part->get(), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) unseen.Update(ErrnoStatus(errno, fmt::format("look at {}", entry.d_name)));
      return;
    }
    if (!S_ISREG(info.st_mode)) return;
    here.insert_or_assign(std::string(BaseOf(entry.d_name)),
                          MessageFile{in_cur, entry.d_name, static_cast<uint64_t>(info.st_size)});
  });
  PROV_RETURN_IF_ERROR(read);
  return unseen;
}

std::string PathOf(const MessageFile& file) { return DirectoryOf(file) + "/" + file.name; }

}  // namespace

Arrival::Arrival(std::string root, std::string mailbox_id, FileDescriptor staging, MailboxLock lock)
    : root_(std::move(root)),
      mailbox_id_(std::move(mailbox_id)),
      staging_(std::move(staging)),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<Arrival>> Arrival::Open(std::string_view root, std::string_view mailbox_id) {
  PROV_ASSIGN_OR_RETURN(const MailboxSteps steps, StepsOf(mailbox_id));
  PROV_ASSIGN_OR_RETURN(FileDescriptor at, OpenRoot(root));
  FileDescriptor above;
  for (const std::string& step : {steps.first, steps.second, steps.name + kArrivingSuffix}) {
    PROV_ASSIGN_OR_RETURN(FileDescriptor below, MakeAndOpen(at.get(), step));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(at.get(), step));
    above = std::exchange(at, std::move(below));
  }
  if (unlinkat(above.get(), (steps.name + kLeftSuffix).c_str(), 0) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "unlink " + steps.name + kLeftSuffix);
  for (const char* part : {"tmp", "new", "cur"}) PROV_RETURN_IF_ERROR(MakeAndOpen(at.get(), part).status());
  PROV_RETURN_IF_ERROR(SyncOpenDirectory(at.get(), "staging"));
  PROV_ASSIGN_OR_RETURN(MailboxLock lock, MailboxLock::Take(at.get()));
  return std::unique_ptr<Arrival>(
      new Arrival(std::string(root), std::string(mailbox_id), std::move(at), std::move(lock)));
}

absl::StatusOr<std::map<std::string, MessageFile>> Arrival::Here() const {
  std::map<std::string, MessageFile> here;
  const auto mailbox = OpenMailbox(root_, mailbox_id_);
  if (!mailbox.ok() && !absl::IsNotFound(mailbox.status())) return mailbox.status();
  for (const bool in_cur : {false, true}) {
    if (mailbox.ok()) PROV_RETURN_IF_ERROR(AddPart(mailbox->get(), in_cur, here));
    PROV_RETURN_IF_ERROR(AddPart(staging_.get(), in_cur, here));
  }
  return here;
}

absl::Status Arrival::Begin(const MessageFile& file) {
  if (!IsMessageFileName(file.name)) return InvalidField("file_name", "is no message's");
  PROV_RETURN_IF_ERROR(lock_.Reaffirm());
  writing_ = file;
  file_ = FileDescriptor(openat(staging_.get(), ("tmp/" + file.name).c_str(),
                                O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file_.valid()) return ErrnoStatus(errno, "create tmp/" + file.name);
  return absl::OkStatus();
}

absl::Status Arrival::Append(std::string_view data) { return WriteAll(file_.get(), data); }

absl::Status Arrival::Finish() {
  PROV_RETURN_IF_ERROR(file_.Close());
  finished_.push_back(writing_);
  return absl::OkStatus();
}

absl::Status Arrival::Commit() {
  // One flush of the file system for all; it tells write errors of any file since the directory was opened
  // (syncfs(2), since Linux 5.8). A message has its name only when its octets are durable.
  if (!finished_.empty() && syncfs(staging_.get()) != 0) return ErrnoStatus(errno, "sync staged messages");
  for (const MessageFile& file : finished_) {
    // Each rename may take as long as a partition, and the file be another's half one by then.
    PROV_RETURN_IF_ERROR(lock_.Reaffirm());
    if (renameat(staging_.get(), ("tmp/" + file.name).c_str(), staging_.get(), PathOf(file).c_str()) != 0)
      return ErrnoStatus(errno, "rename tmp/" + file.name);
  }
  finished_.clear();
  return SyncStaged();
}

absl::Status Arrival::SyncStaged() {
  for (const char* part : {"new", "cur"}) {
    PROV_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenBelow(staging_.get(), part));
    PROV_RETURN_IF_ERROR(SyncOpenDirectory(directory.get(), part));
  }
  return absl::OkStatus();
}

absl::Status Arrival::Rename(const MessageFile& from, const MessageFile& to) {
  if (!IsMessageFileName(to.name)) return InvalidField("file_name", "is no message's");
  // What was adopted already is not here any more, and keeps the name that it came with.
  if (renameat(staging_.get(), PathOf(from).c_str(), staging_.get(), PathOf(to).c_str()) == 0 ||
      errno == ENOENT)
    return absl::OkStatus();
  return ErrnoStatus(errno, "rename " + from.name);
}

absl::Status Arrival::DropAllBut(const std::set<std::string>& bases) {
  PROV_RETURN_IF_ERROR(lock_.Reaffirm());
  std::map<std::string, MessageFile> staged;
  for (const bool in_cur : {false, true}) PROV_RETURN_IF_ERROR(AddPart(staging_.get(), in_cur, staged));
  for (const auto& [base, file] : staged) {
    if (bases.contains(base)) continue;
    if (unlinkat(staging_.get(), PathOf(file).c_str(), 0) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, "unlink " + file.name);
  }
  return SyncStaged();
}

absl::Status Arrival::AdoptPart(int mailbox, bool in_cur) {
  std::map<std::string, MessageFile> staged;
  PROV_RETURN_IF_ERROR(AddPart(staging_.get(), in_cur, staged));
  for (const auto& [base, file] : staged) {
    if (renameat(staging_.get(), PathOf(file).c_str(), mailbox, PathOf(file).c_str()) != 0)
      return ErrnoStatus(errno, "rename " + file.name);
  }
  PROV_ASSIGN_OR_RETURN(const FileDescriptor part, OpenBelow(mailbox, in_cur ? "cur" : "new"));
  return SyncOpenDirectory(part.get(), in_cur ? "cur" : "new");
}

absl::Status Arrival::Adopt() {
  PROV_RETURN_IF_ERROR(lock_.Reaffirm());
  PROV_ASSIGN_OR_RETURN(const FileDescriptor mailbox, OpenOrMakeMailbox(root_, mailbox_id_));
  PROV_RETURN_IF_ERROR(AdoptPart(mailbox.get(), /*in_cur=*/false));
  PROV_RETURN_IF_ERROR(AdoptPart(mailbox.get(), /*in_cur=*/true));
  if (!KeepsCount(mailbox.get())) return absl::OkStatus();
  // What has arrived was not counted, and what was delivered meanwhile may have counted a part of it.
  PROV_ASSIGN_OR_RETURN(const QuotaLock lock, QuotaLock::Own(mailbox.get()));
  return RecountKept(mailbox.get());
}

absl::Status Arrival::Close() { return RemoveArriving(root_, mailbox_id_); }

}  // namespace prov::maildir
