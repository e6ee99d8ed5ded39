// The old place of a mailbox that moves, without a network between.
#pragma once

#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/mail/maildir/departure.h"
#include "agents/moves/transfer_source.h"

namespace prov::moves {

// `before` is asked before each call; an error there is a link that breaks.
class NearSource final : public TransferSource {
 public:
  NearSource(std::string root, std::string mailbox_id)
      : root_(std::move(root)), mailbox_(std::move(mailbox_id)) {}

  absl::StatusOr<std::vector<maildir::MessageFile>> List() override {
    if (const absl::Status status = before("list"); !status.ok()) return status;
    return maildir::ListMessages(root_, mailbox_);
  }
  absl::Status Fetch(const std::vector<maildir::MessageFile>& files, const Sink& sink) override {
    for (const maildir::MessageFile& file : files) {
      if (const absl::Status status = before("fetch"); !status.ok()) return status;
      const auto open = maildir::OpenMessage(root_, mailbox_, file);
      if (absl::IsNotFound(open.status())) continue;
      if (!open.ok()) return open.status();
      if (const absl::Status status = FetchOne(open->get(), file, sink); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  absl::Status Hold() override {
    if (const absl::Status status = before("hold"); !status.ok()) return status;
    return maildir::HoldMailbox(root_, mailbox_);
  }
  absl::StatusOr<bool> Release(const std::vector<maildir::MessageFile>& files) override {
    if (const absl::Status status = before("release"); !status.ok()) return status;
    auto gone = maildir::ReleaseMessages(root_, mailbox_, files);
    // The answer may be lost after the work was done.
    if (const absl::Status status = before("released"); !status.ok()) return status;
    return gone;
  }

  std::function<absl::Status(std::string_view call)> before = [](std::string_view) {
    return absl::OkStatus();
  };

 private:
  absl::Status FetchOne(int file, const maildir::MessageFile& name, const Sink& sink) {
    if (const absl::Status status = sink.begin(name); !status.ok()) return status;
    char buffer[7];
    for (ssize_t got; (got = read(file, buffer, sizeof(buffer))) > 0;) {
      if (const absl::Status status = before("piece"); !status.ok()) return status;
      if (const absl::Status s = sink.append({buffer, static_cast<size_t>(got)}); !s.ok()) return s;
    }
    return sink.end();
  }

  const std::string root_, mailbox_;
};

}  // namespace prov::moves
