#include "agents/mail/queue/spool_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/status.h"

namespace prov::queue {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr size_t kBufferOctets = 64 * 1024;

}  // namespace

SpoolWriter::SpoolWriter(Spool& spool, FileDescriptor file, StoredMessage message, size_t length_offset)
    : spool_(spool),
      incoming_(spool.Incoming(message.envelope.id)),
      file_(std::move(file)),
      message_(std::move(message)),
      length_offset_(length_offset) {}

SpoolWriter::~SpoolWriter() {
  if (!renamed_) unlink(incoming_.c_str());
}

absl::StatusOr<std::unique_ptr<MessageWriter>> SpoolWriter::Begin(Spool& spool, Envelope envelope) {
  if (!IsMessageId(envelope.id)) return absl::InvalidArgumentError("a message id is [a-z0-9]{1,64}");
  if (envelope.recipients.empty() || envelope.recipients.size() > kMaxRecipients) {
    return absl::InvalidArgumentError("a message has 1 to 1000 recipients");
  }
  const std::string path = spool.Incoming(envelope.id);
  const int fresh = spool.spares_.TakeAs(path) ? 0 : O_CREAT | O_EXCL;
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | fresh, kFileMode));
  if (!file.valid()) return ErrnoStatus(errno, path);
  const std::string head = FormatEnvelope(envelope, 0);
  StoredMessage message;
  message.content_offset = head.size();
  message.envelope = std::move(envelope);
  for (Recipient& recipient : message.envelope.recipients) recipient.due = message.envelope.received;
  std::unique_ptr<SpoolWriter> writer(
      new SpoolWriter(spool, std::move(file), std::move(message), ContentLengthOffset(head)));
  writer->buffer_ = head;
  return writer;
}

absl::Status SpoolWriter::Flush() {
  PROV_RETURN_IF_ERROR(WriteAll(file_.get(), buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status SpoolWriter::Append(std::string_view content) {
  PROV_RETURN_IF_ERROR(failure_);
  buffer_ += content;
  message_.content_octets += content.size();
  if (buffer_.size() >= kBufferOctets) failure_ = Flush();
  return failure_;
}

absl::Status SpoolWriter::Finish() {
  buffer_ += FormatEnd(message_.envelope.id);
  PROV_RETURN_IF_ERROR(Flush());
  const std::string length = FormatLength(message_.content_octets);
  if (pwrite(file_.get(), length.data(), length.size(), static_cast<off_t>(length_offset_)) !=
      static_cast<ssize_t>(length.size())) {
    return ErrnoStatus(errno, incoming_);
  }
  // The data first, then the name: a name never stands for half a message.
  if (fdatasync(file_.get()) != 0) return ErrnoStatus(errno, incoming_);
  PROV_RETURN_IF_ERROR(file_.Close());
  spool_.NoteCommitted(message_.envelope.id);
  if (rename(incoming_.c_str(), spool_.Active(message_.envelope.id).c_str()) != 0) {
    return ErrnoStatus(errno, incoming_);
  }
  renamed_ = true;
  return spool_.active_sync_.Sync();
}

absl::StatusOr<StoredMessage> SpoolWriter::Commit() {
  PROV_RETURN_IF_ERROR(failure_);
  failure_ = absl::FailedPreconditionError("the message was committed already");
  if (const absl::Status status = Finish(); !status.ok()) {
    // It is not acknowledged, so it must not be delivered: the sender comes again.
    if (renamed_) PROV_RETURN_IF_ERROR(spool_.Remove(message_.envelope.id));
    return status;
  }
  message_.good_octets =
      message_.content_offset + message_.content_octets + FormatEnd(message_.envelope.id).size();
  return message_;
}

}  // namespace prov::queue
