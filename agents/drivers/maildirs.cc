#include "agents/drivers/maildirs.h"

#include <utility>

#include "agents/mail/maildir/layout.h"
#include "common/log.h"

namespace prov::drivers {
namespace {

absl::Status CannotAct() { return absl::PermissionDeniedError("cannot act as the engine's user"); }

class MaildirDriver final : public Driver {
 public:
  MaildirDriver(std::string root, std::optional<FileOwner> owner) : root_(std::move(root)), owner_(owner) {}

  std::string_view name() const override { return "maildirs"; }

  absl::Status Apply(const state::PendingItem& item) override {
    const ActAs owner(owner_);
    if (!owner.ok()) return CannotAct();
    if (item.record) {
      if (!item.record->has_mailbox()) return absl::OkStatus();
      return maildir::EnsureMailbox(root_, item.record->mailbox().mailbox_id());
    }
    if (!item.previous || !item.previous->has_mailbox()) return absl::OkStatus();
    const std::string& id = item.previous->mailbox().mailbox_id();
    Log(Level::kInfo, "mailbox_remove", {{"key", item.key}, {"mailbox", id}});
    return maildir::RemoveMailbox(root_, id);
  }

  absl::StatusOr<bool> Inspect(const v1::Record& record) override {
    const ActAs owner(owner_);
    if (!owner.ok()) return CannotAct();
    if (!record.has_mailbox()) return true;
    return maildir::InspectMailbox(root_, record.mailbox().mailbox_id());
  }

 private:
  const std::string root_;
  const std::optional<FileOwner> owner_;
};

}  // namespace

std::unique_ptr<Driver> MakeMaildirDriver(std::string root, std::optional<FileOwner> owner) {
  return std::make_unique<MaildirDriver>(std::move(root), owner);
}

}  // namespace prov::drivers
