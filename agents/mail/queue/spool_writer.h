// Writes one message into incoming/, and gives it its name in active/.
#pragma once

#include <memory>
#include <string>

#include "agents/mail/queue/spool.h"

namespace prov::queue {

class SpoolWriter final : public MessageWriter {
 public:
  static absl::StatusOr<std::unique_ptr<MessageWriter>> Begin(Spool& spool, Envelope envelope);
  ~SpoolWriter() override;

  absl::Status Append(std::string_view content) override;
  absl::StatusOr<StoredMessage> Commit() override;

 private:
  SpoolWriter(Spool& spool, FileDescriptor file, StoredMessage message, size_t length_offset);
  absl::Status Flush();
  absl::Status Finish();

  Spool& spool_;
  const std::string incoming_;  // known by itself: it may have to go when the spool is gone
  FileDescriptor file_;
  StoredMessage message_;
  const size_t length_offset_;
  std::string buffer_;
  absl::Status failure_;
  bool renamed_ = false;
};

}  // namespace prov::queue
