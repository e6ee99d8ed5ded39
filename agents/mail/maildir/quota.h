// A mailbox's quota as Maildir++ keeps it, in the file `maildirsize`: the first line says the limit, the
// others what came and went. Dovecot, Courier, maildrop and Exim read and write it as well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::maildir {

struct Usage {
  int64_t octets = 0;  // as files lie there, with LF line ends
  int64_t messages = 0;
};

struct QuotaLimit {
  int64_t octets = 0;    // 0: none
  int64_t messages = 0;  // 0: none
  bool operator==(const QuotaLimit&) const = default;
};

struct MaildirSize {
  QuotaLimit limit;
  Usage usage;
  size_t lines = 0;  // that usage is the sum of: 1 is a count, the others came since
};

inline constexpr char kMaildirSizeFile[] = "maildirsize";
// A longer file is counted anew, as Maildir++ has it: one line came with each message.
inline constexpr size_t kMaxMaildirSizeOctets = 5120;

// INVALID_ARGUMENT for what is no such file: then it is to be counted anew.
absl::StatusOr<MaildirSize> ParseMaildirSize(std::string_view text);
std::string FormatMaildirSize(const MaildirSize& size);

// What a message's file counts for, by its name or else by its inode. Nothing: it is flagged as trashed, or
// gone.
std::optional<int64_t> CountedOctets(int directory, const char* name);

// What is in an open mailbox and its folders; neither what is flagged as trashed nor the folder Trash.
absl::StatusOr<Usage> CountUsage(int mailbox);

// Whether the mailbox has such a file.
bool KeepsCount(int mailbox);
// NOT_FOUND when the mailbox has none, INVALID_ARGUMENT as above.
absl::StatusOr<MaildirSize> ReadMaildirSize(int mailbox);

// Has the mailbox, which is there, say this limit in octets: where it says another one it is counted and the
// file replaced. 0: the file is removed. Other software that writes to the old file meanwhile is not
// counted until somebody counts anew, as with every program of this kind. Not made durable: an inspection
// finds what a power cut took.
absl::Status KeepQuota(std::string_view root, std::string_view mailbox_id, int64_t octets);

// Counts the mailbox and replaces the file, with this limit in octets. The caller has a QuotaLock for
// himself.
absl::StatusOr<Usage> RecountUsage(int mailbox, int64_t octets);

// As RecountUsage, with the limit that the file says, if there is one.
absl::Status RecountKept(int mailbox);

// How what it says differs, for people; empty: not at all.
absl::StatusOr<std::string> InspectQuota(std::string_view root, std::string_view mailbox_id, int64_t octets);

}  // namespace prov::maildir
