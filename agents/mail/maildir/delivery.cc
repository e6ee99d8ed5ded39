#include "agents/mail/maildir/delivery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/line_end.h"
#include "agents/mail/maildir/quota_share.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kBufferOctets = 64 * 1024;
constexpr size_t kMaxHostOctets = 64;  // of the host's name in a file name
constexpr size_t kMaxGivenNameOctets = 80;
constexpr mode_t kFileMode = 0600;

// A coroutine process repeats pid and microsecond; the counter does not.
std::atomic<uint64_t> delivery_counter{0};

// Whatever is wrong with the store, the sender shall keep the message and come again.
absl::Status Deferred(const absl::Status& status) {
  if (status.ok() || absl::IsResourceExhausted(status) || absl::IsInvalidArgument(status) ||
      absl::IsOutOfRange(status)) {
    return status;
  }
  return absl::UnavailableError(status.message());
}

// A host in a Maildir file name: `/`, `:` and `,` would be taken for syntax.
std::string EscapeHost(std::string_view host) {
  std::string escaped;
  for (const unsigned char c : host.substr(0, kMaxHostOctets)) {
    const bool plain = c > ' ' && c < 0x7f && c != '/' && c != ':' && c != ',' && c != '\\';
    escaped += plain ? std::string(1, static_cast<char>(c)) : fmt::format("\\{:03o}", c);
  }
  return escaped.empty() ? "localhost" : escaped;
}

std::string UniqueName(std::string_view host) {
  timeval now{};
  gettimeofday(&now, nullptr);
  return fmt::format("{}.M{:06}P{}Q{}R{}.{}", now.tv_sec, now.tv_usec, getpid(),
                     delivery_counter.fetch_add(1), RandomHex(4), EscapeHost(host));
}

// NFS loses the answer to a rename and reports failure of the repeated call: what counts is whether our file
// is there now.
bool IsOurFile(int directory, const std::string& name, const struct stat& ours) {
  struct stat there;
  return fstatat(directory, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == ours.st_ino &&
         there.st_dev == ours.st_dev;
}

class FileDelivery : public Delivery {
 public:
  FileDelivery(FileDescriptor mailbox, FileDescriptor tmp, FileDescriptor fresh, FileDescriptor file,
               std::string name, DeliveryOptions options)
      : mailbox_(std::move(mailbox)),
        tmp_(std::move(tmp)),
        new_(std::move(fresh)),
        file_(std::move(file)),
        name_(std::move(name)),
        given_name_(std::move(options.name)),
        quota_octets_(options.quota_octets) {
    buffer_.reserve(kBufferOctets);
  }

  ~FileDelivery() override {
    if (in_tmp_) unlinkat(tmp_.get(), name_.c_str(), 0);
    if (share_ && !delivered_) share_->Return();
  }

  absl::Status Append(std::string_view crlf_text) override {
    PROV_RETURN_IF_ERROR(failure_);
    while (!crlf_text.empty()) {
      const size_t taken = Convert(crlf_text);
      crlf_text.remove_prefix(taken);
      if (buffer_.size() >= kBufferOctets) PROV_RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }

  bool IsRepetition() const override {
    return !given_name_.empty() && faccessat(new_.get(), FinalName().c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  }

  absl::StatusOr<std::string> Commit() override {
    PROV_RETURN_IF_ERROR(failure_);
    if (!in_tmp_) return absl::FailedPreconditionError("the delivery was committed before");
    if (bare_ || after_cr_) {
      return absl::InvalidArgumentError("the message has a CR or LF by itself (RFC 5321 section 2.3.8)");
    }
    PROV_RETURN_IF_ERROR(Flush());
    if (quota_octets_ > 0 && !IsRepetition()) {
      // Before the fsync: it is the dear part, and many a message comes to a full mailbox.
      auto share = QuotaShare::Take(mailbox_.get(), quota_octets_, static_cast<int64_t>(octets_));
      if (!share.ok()) return Fail(share.status());
      share_.emplace(*std::move(share));
    }
    struct stat ours;
    if (fsync(file_.get()) != 0 || fstat(file_.get(), &ours) != 0) {
      return Fail(ErrnoStatus(errno, fmt::format("fsync tmp/{}", name_)));
    }
    const absl::Status closed = file_.Close();
    if (!closed.ok()) return Fail(closed);
    return MoveIntoNew(ours);
  }

 private:
  // Returns how many octets it took: at most what fits the buffer; 0 when it only left the state after CR.
  size_t Convert(std::string_view text) {
    if (after_cr_) {
      after_cr_ = false;
      if (text.front() != '\n') {
        bare_ = true;
        return text.front() == '\r' ? (after_cr_ = true, 1) : 0;
      }
      Store("\n");
      return 1;
    }
    text = text.substr(0, kBufferOctets);
    const size_t end = FindLineEnd(text);
    Store(text.substr(0, end));
    if (end == text.size()) return end;
    bare_ = bare_ || text[end] == '\n';
    after_cr_ = text[end] == '\r';
    return end + 1;
  }

  void Store(std::string_view text) {
    buffer_ += text;
    octets_ += text.size();
    if (text == "\n") ++lines_;
  }

  absl::Status Flush() {
    const absl::Status status = WriteAll(file_.get(), buffer_);
    buffer_.clear();
    return status.ok() ? status : Fail(Annotate(status, fmt::format("tmp/{}", name_)));
  }

  absl::Status Fail(const absl::Status& status) { return failure_ = Deferred(status); }

  std::string FinalName() const {
    return fmt::format("{},S={},W={}", given_name_.empty() ? name_ : given_name_, octets_, octets_ + lines_);
  }

  absl::StatusOr<std::string> MoveIntoNew(const struct stat& ours) {
    const std::string final_name = FinalName();
    if (IsRepetition()) {
      // Delivered before; whoever did it may have died before the directory was synced.
      const absl::Status synced = SyncOpenDirectory(new_.get(), "new");
      if (!synced.ok()) return Fail(synced);
      return final_name;
    }
    if (renameat(tmp_.get(), name_.c_str(), new_.get(), final_name.c_str()) != 0) {
      const int error = errno;
      if (!IsOurFile(new_.get(), final_name, ours)) {
        return Fail(ErrnoStatus(error, fmt::format("rename tmp/{} into new", name_)));
      }
    }
    in_tmp_ = false;
    const absl::Status synced = SyncOpenDirectory(new_.get(), "new");
    delivered_ = synced.ok();
    if (delivered_) return final_name;
    // Not accepted: the sender comes again, and would otherwise make it two.
    unlinkat(new_.get(), final_name.c_str(), 0);
    return Fail(synced);
  }

  FileDescriptor mailbox_, tmp_, new_, file_;
  const std::string name_;        // in tmp/, and in new/ unless another one is given
  const std::string given_name_;  // may be empty
  const int64_t quota_octets_;
  std::string buffer_;
  uint64_t octets_ = 0;  // with LF line ends
  uint64_t lines_ = 0;
  bool after_cr_ = false;
  bool bare_ = false;
  bool in_tmp_ = true;
  std::optional<QuotaShare> share_;  // of a mailbox with a quota
  bool delivered_ = false;
  absl::Status failure_;
};

bool IsGivenName(std::string_view name) {
  return name.size() <= kMaxGivenNameOctets && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
         });
}

absl::StatusOr<std::unique_ptr<Delivery>> BeginIn(FileDescriptor mailbox, DeliveryOptions options) {
  PROV_ASSIGN_OR_RETURN(FileDescriptor tmp, OpenBelow(mailbox.get(), "tmp"));
  PROV_ASSIGN_OR_RETURN(FileDescriptor fresh, OpenBelow(mailbox.get(), "new"));
  std::string name = UniqueName(options.host);
  FileDescriptor file(
      openat(tmp.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.valid()) return ErrnoStatus(errno, fmt::format("create tmp/{}", name));
  return std::make_unique<FileDelivery>(std::move(mailbox), std::move(tmp), std::move(fresh), std::move(file),
                                        std::move(name), std::move(options));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Delivery>> Delivery::Begin(std::string_view root, std::string_view mailbox_id,
                                                          DeliveryOptions options) {
  if (!IsGivenName(options.name) || options.name.starts_with('.')) {
    return absl::InvalidArgumentError("a delivery's name is [A-Za-z0-9.]{1,80}");
  }
  auto mailbox = OpenOrMakeMailbox(root, mailbox_id);
  PROV_RETURN_IF_ERROR(Deferred(mailbox.status()));
  auto delivery = BeginIn(*std::move(mailbox), std::move(options));
  PROV_RETURN_IF_ERROR(Deferred(delivery.status()));
  return delivery;
}

}  // namespace prov::maildir
