#include "agents/drivers/maildirs.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "agents/mail/maildir/departure.h"
#include "agents/mail/maildir/layout.h"
#include "common/log.h"
#include "common/status.h"

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
    if (item.record) {  // made in Flush, many at once; one that is leaving is not made
      if (!item.record->has_mailbox()) return absl::OkStatus();
      return maildir::MailboxPath(root_, item.record->mailbox().mailbox_id()).status();
    }
    if (!item.previous || !item.previous->has_mailbox()) return absl::OkStatus();
    const std::string& id = item.previous->mailbox().mailbox_id();
    if (item.previous->mailbox().leaving()) return ForgetMoved(id);
    Log(Level::kInfo, "mailbox_remove", {{"key", item.key}, {"mailbox", id}});
    return maildir::RemoveMailbox(root_, id);
  }

  absl::Status Flush(std::vector<Work>& works) override {
    const ActAs owner(owner_);
    if (!owner.ok()) return CannotAct();
    std::vector<Work*> wanted;
    std::vector<std::string> ids;
    for (Work& work : works) {
      if (!work.status.ok() || !work.item.record || !work.item.record->has_mailbox()) continue;
      if (work.item.record->mailbox().leaving()) continue;
      wanted.push_back(&work);
      ids.push_back(work.item.record->mailbox().mailbox_id());
    }
    const std::vector<absl::Status> made = maildir::EnsureMailboxes(root_, ids);
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i]->status = Annotate(made[i], name());
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    const ActAs owner(owner_);
    if (!owner.ok()) return CannotAct();
    if (!record.has_mailbox() || record.mailbox().leaving()) return "";
    const std::string& id = record.mailbox().mailbox_id();
    auto wrong = maildir::InspectAccess(root_, id);
    if (wrong.ok() && wrong->empty()) wrong = maildir::InspectMailbox(root_, id);
    // A place that is missing is for InspectMailbox to name, and to tell from a mount that is missing.
    if (absl::IsNotFound(wrong.status())) wrong = maildir::InspectMailbox(root_, id);
    return wrong;
  }

 private:
  // It is on another pool now, and with it all that was here. If something is here again, it is somebody's
  // mail.
  absl::Status ForgetMoved(const std::string& id) const {
    PROV_ASSIGN_OR_RETURN(const auto left, maildir::ListMessages(root_, id));
    if (left.empty()) return maildir::RemoveMailbox(root_, id);
    return absl::FailedPreconditionError(
        fmt::format("the mailbox {} has moved to another pool, and {} messages are here again; look at them, "
                    "and remove them",
                    id, left.size()));
  }

  const std::string root_;
  const std::optional<FileOwner> owner_;
};

}  // namespace

std::unique_ptr<Driver> MakeMaildirDriver(std::string root, std::optional<FileOwner> owner) {
  return std::make_unique<MaildirDriver>(std::move(root), owner);
}

}  // namespace prov::drivers
