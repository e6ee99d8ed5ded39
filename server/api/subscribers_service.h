// prov.v1.Subscribers.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "prov/v1/subscribers.grpc.pb.h"
#include "server/api/lifecycle_steps.h"
#include "server/api/subscriber_import.h"
#include "server/api/write_call.h"
#include "server/model/subscriber.h"
#include "server/store/schedule_repository.h"
#include "server/store/subscriber_repository.h"

namespace prov::api {

// Thread-safe.
class SubscribersService final : public v1::Subscribers::Service {
 public:
  struct Options {
    LifecycleOptions lifecycle;
    size_t least_password_characters = 8;
  };
  SubscribersService(const WriteCalls& writes, store::SubscriberRepository& subscribers,
                     store::ScheduleRepository& schedule, SubscriberImporter& importer, Options options)
      : writes_(writes),
        subscribers_(subscribers),
        schedule_(schedule),
        importer_(importer),
        options_(options) {}

  grpc::Status CreateSubscriber(grpc::ServerContext* context, const v1::CreateSubscriberRequest* request,
                                v1::Subscriber* response) override;
  grpc::Status GetSubscriber(grpc::ServerContext* context, const v1::GetSubscriberRequest* request,
                             v1::Subscriber* response) override;
  grpc::Status ListSubscribers(grpc::ServerContext* context, const v1::ListSubscribersRequest* request,
                               v1::ListSubscribersResponse* response) override;
  grpc::Status UpdateSubscriber(grpc::ServerContext* context, const v1::UpdateSubscriberRequest* request,
                                v1::Subscriber* response) override;
  grpc::Status SuspendSubscriber(grpc::ServerContext* context, const v1::SuspendSubscriberRequest* request,
                                 v1::Subscriber* response) override;
  grpc::Status ResumeSubscriber(grpc::ServerContext* context, const v1::ResumeSubscriberRequest* request,
                                v1::Subscriber* response) override;
  grpc::Status DeleteSubscriber(grpc::ServerContext* context, const v1::DeleteSubscriberRequest* request,
                                v1::Subscriber* response) override;
  grpc::Status UndeleteSubscriber(grpc::ServerContext* context, const v1::UndeleteSubscriberRequest* request,
                                  v1::Subscriber* response) override;
  grpc::Status PurgeSubscriber(grpc::ServerContext* context, const v1::PurgeSubscriberRequest* request,
                               v1::Subscriber* response) override;
  grpc::Status SetPassword(grpc::ServerContext* context, const v1::SetPasswordRequest* request,
                           v1::Subscriber* response) override;
  grpc::Status AddAddress(grpc::ServerContext* context, const v1::AddAddressRequest* request,
                          v1::Subscriber* response) override;
  grpc::Status RemoveAddress(grpc::ServerContext* context, const v1::RemoveAddressRequest* request,
                             v1::Subscriber* response) override;
  grpc::Status SetForward(grpc::ServerContext* context, const v1::SetForwardRequest* request,
                          v1::Subscriber* response) override;
  grpc::Status ImportSubscribers(grpc::ServerContext* context, SubscriberImporter::Stream* stream) override;
  grpc::Status ListScheduledChanges(grpc::ServerContext* context,
                                    const v1::ListScheduledChangesRequest* request,
                                    v1::ListScheduledChangesResponse* response) override;
  grpc::Status CancelScheduledChange(grpc::ServerContext* context,
                                     const v1::CancelScheduledChangeRequest* request,
                                     v1::CancelScheduledChangeResponse* response) override;

 private:
  // Changes a subscriber in place; true if anything is to be written.
  using Edit =
      std::function<absl::StatusOr<bool>(store::WriteTransaction& write, model::Subscriber& subscriber)>;
  struct EditCall {
    WriteCalls::Options options;
    std::string_view name_field = "name";
    std::string_view name;
    std::string_view etag;
    WriteCalls::Prepare prepare;
    // Set: it is to happen then, and not now; `request` is what is kept for it.
    struct Later {
      model::Time effective_time;
      std::string request;
    };
    std::optional<Later> later;
  };
  // The common course: find, check the etag, edit, save, audit.
  grpc::Status RunEdit(grpc::ServerContext* context, const EditCall& call, const Edit& edit,
                       v1::Subscriber* response);

  // An edit that may be scheduled: decides whether it is for now or for later.
  template <typename Request>
  grpc::Status RunTimedEdit(grpc::ServerContext* context, EditCall call, const Request& request,
                            const Edit& edit, v1::Subscriber* response);
  static absl::StatusOr<store::WriteResult> Schedule(store::WriteTransaction& write, const EditCall& call,
                                                     const model::Subscriber& subscriber);

  // The hash of a password given in clear, or one given as a hash; empty when neither is. Slow.
  absl::StatusOr<std::string> HashOf(std::string_view login, const std::string& password,
                                     const std::string& hash) const;

  const WriteCalls& writes_;
  store::SubscriberRepository& subscribers_;
  store::ScheduleRepository& schedule_;
  SubscriberImporter& importer_;
  const Options options_;
};

}  // namespace prov::api
