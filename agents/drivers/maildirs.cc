#include "agents/drivers/maildirs.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "agents/drivers/maildir_owner.h"
#include "agents/drivers/purged_data.h"
#include "agents/mail/maildir/departure.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/message_file.h"
#include "agents/mail/maildir/quota.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

absl::Status CannotAct() { return absl::PermissionDeniedError("cannot act as the engine's user"); }

class MaildirDriver final : public Driver {
 public:
  explicit MaildirDriver(MaildirOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "maildirs"; }

  absl::Status Apply(const state::PendingItem& item) override {
    const ActAs owner(options_.owner);
    if (!owner.ok()) return CannotAct();
    if (item.record) {  // made in Flush, many at once; one that is leaving is not made
      return item.record->has_mailbox() ? Check(item.record->mailbox()) : absl::OkStatus();
    }
    if (!item.previous || !item.previous->has_mailbox()) return absl::OkStatus();
    const std::string& id = item.previous->mailbox().mailbox_id();
    if (item.previous->mailbox().leaving()) return ForgetMoved(id);
    Log(Level::kInfo, "mailbox_purge",
        {{"key", item.key}, {"mailbox", id}, {"kept_s", options_.purge_grace.count() / 1000}});
    return Purge(id);
  }

  absl::Status Flush(std::vector<Work>& works) override {
    const ActAs owner(options_.owner);
    if (!owner.ok()) return CannotAct();
    std::vector<Work*> wanted;
    for (Work& work : works) {
      if (!work.status.ok() || !work.item.record || !work.item.record->has_mailbox()) continue;
      if (!work.item.record->mailbox().leaving()) wanted.push_back(&work);
    }
    if (wanted.empty()) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(TakeBack(wanted));
    Make(wanted);
    if (options_.owned_by_account) Give(wanted);
    for (Work* work : wanted) {
      if (!work->status.ok()) continue;
      const v1::Mailbox& mailbox = work->item.record->mailbox();
      work->status =
          Annotate(maildir::KeepQuota(options_.root, mailbox.mailbox_id(), mailbox.quota_bytes()), name());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    const ActAs owner(options_.owner);
    if (!owner.ok()) return CannotAct();
    if (!record.has_mailbox() || record.mailbox().leaving()) return "";
    const std::string& id = record.mailbox().mailbox_id();
    auto wrong = options_.owned_by_account
                     ? InspectMaildirOwner(options_.root, {id, record.mailbox().uid_number()})
                     : maildir::InspectAccess(options_.root, id);
    if (wrong.ok() && wrong->empty()) wrong = maildir::InspectMailbox(options_.root, id);
    if (wrong.ok() && wrong->empty())
      wrong = maildir::InspectQuota(options_.root, id, record.mailbox().quota_bytes());
    // A place that is missing is for InspectMailbox to name, and to tell from a mount that is missing.
    if (absl::IsNotFound(wrong.status())) wrong = maildir::InspectMailbox(options_.root, id);
    return wrong;
  }

 private:
  absl::Status Check(const v1::Mailbox& mailbox) const {
    PROV_RETURN_IF_ERROR(maildir::StepsOf(mailbox.mailbox_id()).status());
    if (!options_.owned_by_account || mailbox.uid_number() >= options_.least_uid) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("uid {} is lower than accounts.least_uid, {}", mailbox.uid_number(), options_.least_uid));
  }

  // Those that were purged not long ago, and came back. Before they are made: what a clone has made meanwhile
  // gets what it lacks.
  absl::Status TakeBack(const std::vector<Work*>& wanted) const {
    PROV_ASSIGN_OR_RETURN(const PurgedDays days, PurgedDays::Open(options_.root));
    if (days.empty()) return absl::OkStatus();
    for (Work* work : wanted) {
      work->status = Annotate(TakeBackOne(days, work->item.record->mailbox().mailbox_id()), name());
    }
    return absl::OkStatus();
  }

  absl::Status TakeBackOne(const PurgedDays& days, const std::string& id) const {
    PROV_ASSIGN_OR_RETURN(const bool there, days.Has(id));
    if (!there) return absl::OkStatus();
    Log(Level::kInfo, "mailbox_taken_back", {{"mailbox", id}});
    PROV_ASSIGN_OR_RETURN(const auto steps, maildir::StepsOf(id));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor root, maildir::OpenRoot(options_.root));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor first, maildir::MakeAndOpen(root.get(), steps.first));
    PROV_RETURN_IF_ERROR(maildir::SyncOpenDirectory(root.get(), steps.first));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor second, maildir::MakeAndOpen(first.get(), steps.second));
    PROV_RETURN_IF_ERROR(maildir::SyncOpenDirectory(first.get(), steps.second));
    return days.TakeBack(id, second.get(), steps.name);
  }

  void Make(const std::vector<Work*>& wanted) const {
    std::vector<Work*> sound;
    std::vector<std::string> ids;
    for (Work* work : wanted) {
      if (!work->status.ok()) continue;
      sound.push_back(work);
      ids.push_back(work->item.record->mailbox().mailbox_id());
    }
    const std::vector<absl::Status> made = maildir::EnsureMailboxes(options_.root, ids);
    for (size_t i = 0; i < sound.size(); ++i) sound[i]->status = Annotate(made[i], name());
  }

  void Give(const std::vector<Work*>& wanted) const {
    std::vector<Work*> sound;
    std::vector<MaildirOwner> owners;
    for (Work* work : wanted) {
      if (!work->status.ok()) continue;
      const v1::Mailbox& mailbox = work->item.record->mailbox();
      sound.push_back(work);
      owners.push_back({mailbox.mailbox_id(), mailbox.uid_number()});
    }
    const std::vector<absl::Status> given = GiveMaildirs(options_.root, owners);
    for (size_t i = 0; i < sound.size(); ++i) sound[i]->status = Annotate(given[i], name());
  }

  absl::Status Purge(const std::string& id) const {
    if (options_.purge_grace.count() == 0) return maildir::RemoveMailbox(options_.root, id);
    PROV_ASSIGN_OR_RETURN(const auto steps, maildir::StepsOf(id));
    PROV_ASSIGN_OR_RETURN(const FileDescriptor root, maildir::OpenRoot(options_.root));
    const auto first = maildir::OpenBelow(root.get(), steps.first);
    if (absl::IsNotFound(first.status())) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(first.status());
    const auto second = maildir::OpenBelow(first->get(), steps.second);
    if (absl::IsNotFound(second.status())) return absl::OkStatus();
    PROV_RETURN_IF_ERROR(second.status());
    // A move that was cut short may have left mail beside it; what it has brought so far is a copy.
    for (const std::string& place : {steps.name, steps.name + maildir::kLeavingSuffix}) {
      PROV_RETURN_IF_ERROR(TakeOut(options_.root, second->get(), place, id, options_.clock->Now()));
    }
    return maildir::RemoveArriving(options_.root, id);
  }

  // It is on another pool now, and with it all that was here. If something is here again, it is somebody's
  // mail.
  absl::Status ForgetMoved(const std::string& id) const {
    PROV_ASSIGN_OR_RETURN(const auto left, maildir::ListMessages(options_.root, id));
    if (left.empty()) return maildir::RemoveMailbox(options_.root, id);
    return absl::FailedPreconditionError(
        fmt::format("the mailbox {} has moved to another pool, and {} messages are here again; look at them, "
                    "and remove them",
                    id, left.size()));
  }

  const MaildirOptions options_;
};

}  // namespace

std::unique_ptr<Driver> MakeMaildirDriver(MaildirOptions options) {
  return std::make_unique<MaildirDriver>(std::move(options));
}

}  // namespace prov::drivers
