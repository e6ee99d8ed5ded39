#include "agents/drivers/mailbox_moves.h"

#include <utility>

#include "agents/mail/maildir/layout.h"

namespace prov::drivers {
namespace {

class MailboxMoveDriver final : public Driver {
 public:
  MailboxMoveDriver(std::string root, std::optional<FileOwner> owner, std::function<void()> changed)
      : root_(std::move(root)), owner_(owner), changed_(std::move(changed)) {}

  std::string_view name() const override { return "mailbox moves"; }

  absl::Status Apply(const state::PendingItem& item) override {
    if (item.record) {
      if (item.record->has_mailbox_transit() && changed_) changed_();
      return absl::OkStatus();
    }
    if (!item.previous || !item.previous->has_mailbox_transit()) return absl::OkStatus();
    const ActAs owner(owner_);
    if (!owner.ok()) return absl::PermissionDeniedError("cannot act as the engine's user");
    return maildir::RemoveArriving(root_, item.previous->mailbox_transit().mailbox_id());
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override { return ""; }

 private:
  const std::string root_;
  const std::optional<FileOwner> owner_;
  const std::function<void()> changed_;
};

}  // namespace

std::unique_ptr<Driver> MakeMailboxMoveDriver(std::string root, std::optional<FileOwner> owner,
                                              std::function<void()> changed) {
  return std::make_unique<MailboxMoveDriver>(std::move(root), owner, std::move(changed));
}

}  // namespace prov::drivers
