#include "agents/mail/smtp/delivery_notice.h"

#include "agents/mail/queue/notification.h"
#include "common/status.h"

namespace prov::smtp {

absl::StatusOr<queue::StoredMessage> QueueDeliveryNotice(const std::string& hostname,
                                                         const queue::Envelope& original,
                                                         const ContentSpool& content, queue::Time now,
                                                         queue::Spool& spool) {
  queue::Envelope envelope = queue::NotificationEnvelope(original, queue::Spool::NewId(now), now);
  queue::Notification notification;
  notification.hostname = hostname;
  notification.id = envelope.id;
  notification.now = now;
  notification.original = &original;
  notification.action = queue::DsnAction::kDelivered;
  notification.reports.push_back({&original.recipients.front(), "250 2.0.0 delivered"});
  PROV_RETURN_IF_ERROR(content.ForEach([&notification](std::string_view piece) {
    const size_t left = queue::kMaxReturnedHeaderOctets - notification.original_start.size();
    notification.original_start += piece.substr(0, left);
    return absl::OkStatus();
  }));
  PROV_ASSIGN_OR_RETURN(const auto writer, spool.Begin(std::move(envelope)));
  PROV_RETURN_IF_ERROR(writer->Append(queue::FormatNotification(notification)));
  return writer->Commit();
}

}  // namespace prov::smtp
