#include "server/api/subscribers_service.h"

#include <fmt/format.h>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/filter.h"
#include "server/api/lifecycle_steps.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/subscriber_update.h"
#include "server/api/translation.h"
#include "server/api/web_name_rules.h"
#include "server/model/password.h"
#include "server/model/placement.h"
#include "server/model/validate.h"
#include "server/store/domain_repository.h"

namespace prov::api {
namespace {

using model::Subscriber;
using store::SubscriberRepository;
using store::WriteTransaction;

template <typename Request>
WriteCalls::Options OptionsOf(std::string_view method, const Request& request) {
  return {method, &request, request.request_id(), request.validate_only()};
}

absl::Status DomainUnknown(std::string_view field, const std::string& domain) {
  return FieldError(
      absl::StatusCode::kNotFound, field, "DOMAIN_UNKNOWN",
      fmt::format("the domain {} is not hosted here; provctl add-domain {} hosts it", domain, domain));
}

// Whether addresses may be made in the domain; `alias_of` is the domain's.
absl::Status NotAlias(std::string_view field, const std::string& domain, const std::string& alias_of) {
  if (alias_of.empty()) return absl::OkStatus();
  return FieldError(absl::StatusCode::kFailedPrecondition, field, "DOMAIN_IS_ALIAS",
                    fmt::format("{} is another name of {} and has no addresses of its own; use {}", domain,
                                alias_of, alias_of));
}

absl::Status DomainExists(WriteTransaction& write, std::string_view field, const std::string& domain) {
  const absl::StatusOr<model::Domain> found = store::DomainRepository::Find(write, domain);
  return found.ok() ? NotAlias(field, domain, found->alias_of) : DomainUnknown(field, domain);
}

// Pool given or chosen; must be there and be of role store.
absl::Status PlaceMailbox(WriteTransaction& write, Subscriber& subscriber) {
  const std::string domain = subscriber.login.substr(subscriber.login.rfind('@') + 1);
  const SubscriberRepository::Placement placement = SubscriberRepository::PlacementOf(write, domain);
  if (!placement.domain_hosted) return DomainUnknown("subscriber.login", domain);
  PROV_RETURN_IF_ERROR(NotAlias("subscriber.login", domain, placement.alias_of));
  PROV_ASSIGN_OR_RETURN(
      subscriber.store_pool,
      model::PlaceMailbox(placement.store_pools, subscriber.store_pool, "subscriber.store_pool"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SubscribersService::HashOf(std::string_view login, const std::string& password,
                                                       const std::string& hash) const {
  if (!password.empty() && !hash.empty())
    return InvalidField("password_hash", "is given beside password; give one");
  if (!hash.empty()) {
    PROV_RETURN_IF_ERROR(model::CheckPasswordHash("password_hash", hash));
    return hash;
  }
  if (password.empty()) return std::string();
  PROV_RETURN_IF_ERROR(model::CheckPassword("password", password, login, options_.least_password_characters));
  return model::HashPassword(password);
}

grpc::Status SubscribersService::CreateSubscriber(grpc::ServerContext* context,
                                                  const v1::CreateSubscriberRequest* request,
                                                  v1::Subscriber* response) {
  Subscriber wanted;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(wanted, NewSubscriber(request->subscriber()));
    PROV_ASSIGN_OR_RETURN(wanted.password_hash,
                          HashOf(wanted.login, request->password(), request->password_hash()));
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_RETURN_IF_ERROR(PlaceMailbox(write, wanted));
    PROV_ASSIGN_OR_RETURN(const Subscriber created, SubscriberRepository::Insert(write, wanted));
    if (!wanted.web_names.empty()) PROV_RETURN_IF_ERROR(SetWebNames(write, created.id, {}, wanted.web_names));
    const v1::Subscriber proto = ToProto(created);
    return Result(proto.name(), nullptr, proto, proto);
  };
  return ToGrpcStatus(writes_.Run(*context, OptionsOf("/prov.v1.Subscribers/CreateSubscriber", *request),
                                  prepare, body, response));
}

grpc::Status SubscribersService::GetSubscriber(grpc::ServerContext* context,
                                               const v1::GetSubscriberRequest* request,
                                               v1::Subscriber* response) {
  const auto get = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.Subscribers/GetSubscriber").status());
    PROV_ASSIGN_OR_RETURN(const std::string key, SubscriberKeyOf("name", request->name()));
    PROV_ASSIGN_OR_RETURN(const Subscriber subscriber, subscribers_.Get(key));
    *response = ToProto(subscriber);
    PROV_ASSIGN_OR_RETURN(const std::vector<store::ScheduledChange> scheduled,
                          schedule_.List(subscriber.id, {}, 0, store::kMostScheduledChanges));
    for (const store::ScheduledChange& change : scheduled) {
      *response->add_scheduled_changes() = ToProto(change);
    }
    return absl::OkStatus();
  };
  return ToGrpcStatus(get());
}

grpc::Status SubscribersService::ListSubscribers(grpc::ServerContext* context,
                                                 const v1::ListSubscribersRequest* request,
                                                 v1::ListSubscribersResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller,
                          writes_.authoriser().Authorise(*context, "/prov.v1.Subscribers/ListSubscribers"));
    PROV_ASSIGN_OR_RETURN(store::SubscriberQuery query, ParseSubscriberFilter(request->filter()));
    PROV_ASSIGN_OR_RETURN(size_t page, PageSize(request->page_size()));
    const bool looks_up_only = caller.role == "helpdesk";
    if (looks_up_only) {
      PROV_RETURN_IF_ERROR(CheckLookUp(query));
      page = kMostLookedUp;
    }
    query.show_deleted = request->show_deleted();
    const std::string token_of = fmt::format("subscribers {} {}", query.show_deleted, request->filter());
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(token_of, request->page_token()));
    if (!after.empty()) query.after_id = std::strtoll(after.c_str(), nullptr, 10);
    query.limit = page + 1;  // one more tells whether there is a next page
    PROV_ASSIGN_OR_RETURN(std::vector<Subscriber> subscribers, subscribers_.List(query));
    const bool more = subscribers.size() > page;
    if (more && looks_up_only) {
      return FieldError(
          absl::StatusCode::kPermissionDenied, "filter", "TOO_MANY_MATCHES",
          fmt::format("matches more than {} subscribers; the helpdesk looks up a few at a time: say "
                      "more of the login",
                      kMostLookedUp));
    }
    if (more) subscribers.resize(page);
    for (const Subscriber& subscriber : subscribers) *response->add_subscribers() = ToProto(subscriber);
    if (more) response->set_next_page_token(MakePageToken(token_of, std::to_string(subscribers.back().id)));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status SubscribersService::RunEdit(grpc::ServerContext* context, const EditCall& call, const Edit& edit,
                                         v1::Subscriber* response) {
  std::string key;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(key, SubscriberKeyOf(call.name_field, call.name));
    return call.prepare ? call.prepare() : absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Subscriber subscriber, SubscriberRepository::Find(write, key));
    PROV_RETURN_IF_ERROR(CheckEtag(call.etag, subscriber.revision));
    const v1::Subscriber before = ToProto(subscriber);
    if (call.later.has_value()) return Schedule(write, call, subscriber);
    PROV_ASSIGN_OR_RETURN(const bool changed, edit(write, subscriber));
    if (!changed) return Result(before.name(), &before, before, before);
    PROV_ASSIGN_OR_RETURN(const Subscriber saved, SubscriberRepository::Save(write, subscriber));
    const v1::Subscriber after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return ToGrpcStatus(writes_.Run(*context, call.options, prepare, body, response));
}

grpc::Status SubscribersService::UpdateSubscriber(grpc::ServerContext* context,
                                                  const v1::UpdateSubscriberRequest* request,
                                                  v1::Subscriber* response) {
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/UpdateSubscriber", *request),
                         .name_field = "subscriber.name",
                         .name = request->subscriber().name(),
                         .etag = request->subscriber().etag(),
                         .prepare = [&] { return CheckUpdate(*request); }};
  return RunEdit(
      context, call,
      [&](WriteTransaction& write, Subscriber& subscriber) -> absl::StatusOr<bool> {
        PROV_RETURN_IF_ERROR(NotClosed(subscriber));
        const Subscriber before = subscriber;
        ApplyUpdate(*request, subscriber);
        if (subscriber.entitlements != before.entitlements) subscriber.credential_version = write.revision();
        if (subscriber.web_names != before.web_names) {
          PROV_RETURN_IF_ERROR(SetWebNames(write, subscriber.id, before.web_names, subscriber.web_names));
        }
        return true;
      },
      response);
}

grpc::Status SubscribersService::SetPassword(grpc::ServerContext* context,
                                             const v1::SetPasswordRequest* request,
                                             v1::Subscriber* response) {
  std::string hash;
  const EditCall call = {
      .options = OptionsOf("/prov.v1.Subscribers/SetPassword", *request),
      .name = request->name(),
      .prepare = [&]() -> absl::Status {
        // Known by login, the password is held against it; by id alone it cannot be.
        PROV_ASSIGN_OR_RETURN(const std::string key, SubscriberKeyOf("name", request->name()));
        PROV_ASSIGN_OR_RETURN(hash, HashOf(key, request->password(), request->password_hash()));
        if (!hash.empty()) return absl::OkStatus();
        return InvalidField("password", "is empty");
      }};
  return RunEdit(
      context, call,
      [&](WriteTransaction& write, Subscriber& subscriber) -> absl::StatusOr<bool> {
        PROV_RETURN_IF_ERROR(NotClosed(subscriber));
        subscriber.password_hash = hash;
        subscriber.credential_version = write.revision();
        return true;
      },
      response);
}

grpc::Status SubscribersService::AddAddress(grpc::ServerContext* context,
                                            const v1::AddAddressRequest* request, v1::Subscriber* response) {
  MailAddress address;
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/AddAddress", *request),
                         .name = request->name(),
                         .etag = request->etag(),
                         .prepare = [&]() -> absl::Status {
                           PROV_ASSIGN_OR_RETURN(address, model::CheckAddress("address", request->address()));
                           return absl::OkStatus();
                         }};
  return RunEdit(
      context, call,
      [&](WriteTransaction& write, Subscriber& subscriber) -> absl::StatusOr<bool> {
        PROV_RETURN_IF_ERROR(NotClosed(subscriber));
        const std::string text = address.ToString();
        for (const std::string& own : subscriber.addresses) {
          if (own == text) return false;
        }
        if (subscriber.addresses.size() >= model::kMaxAddresses) {
          return InvalidField("address",
                              fmt::format("would be more than {} addresses", model::kMaxAddresses));
        }
        PROV_RETURN_IF_ERROR(DomainExists(write, "address", address.domain));
        PROV_RETURN_IF_ERROR(SubscriberRepository::AddAddress(write, subscriber, text, address.domain));
        return true;
      },
      response);
}

grpc::Status SubscribersService::RemoveAddress(grpc::ServerContext* context,
                                               const v1::RemoveAddressRequest* request,
                                               v1::Subscriber* response) {
  MailAddress address;
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/RemoveAddress", *request),
                         .name = request->name(),
                         .etag = request->etag(),
                         .prepare = [&]() -> absl::Status {
                           PROV_ASSIGN_OR_RETURN(address, model::CheckAddress("address", request->address()));
                           return absl::OkStatus();
                         }};
  return RunEdit(
      context, call,
      [&](WriteTransaction& write, Subscriber& subscriber) -> absl::StatusOr<bool> {
        PROV_RETURN_IF_ERROR(NotClosed(subscriber));
        if (address.ToString() == subscriber.login) {
          return FieldError(absl::StatusCode::kFailedPrecondition, "address", "ADDRESS_IS_LOGIN",
                            "is the login, which cannot be taken away");
        }
        PROV_RETURN_IF_ERROR(SubscriberRepository::RemoveAddress(write, subscriber, address.ToString()));
        return true;
      },
      response);
}

grpc::Status SubscribersService::SetForward(grpc::ServerContext* context,
                                            const v1::SetForwardRequest* request, v1::Subscriber* response) {
  model::Forward forward;
  const EditCall call = {.options = OptionsOf("/prov.v1.Subscribers/SetForward", *request),
                         .name = request->name(),
                         .etag = request->etag(),
                         .prepare = [&]() -> absl::Status {
                           PROV_ASSIGN_OR_RETURN(forward, ForwardOf("forward", request->forward()));
                           return absl::OkStatus();
                         }};
  return RunEdit(
      context, call,
      [&](WriteTransaction&, Subscriber& subscriber) -> absl::StatusOr<bool> {
        PROV_RETURN_IF_ERROR(NotClosed(subscriber));
        for (const std::string& target : forward.targets) {
          for (const std::string& own : subscriber.addresses) {
            if (target == own) {
              return InvalidField("forward.targets",
                                  fmt::format("{} is an address of the subscriber itself; --keep-copy "
                                              "keeps a copy",
                                              target));
            }
          }
        }
        if (subscriber.forward == forward) return false;
        subscriber.forward = forward;
        return true;
      },
      response);
}

grpc::Status SubscribersService::ImportSubscribers(grpc::ServerContext* context,
                                                   SubscriberImporter::Stream* stream) {
  return ToGrpcStatus(importer_.Run(*context, *stream));
}

}  // namespace prov::api
