// From a request's fields to a subscriber of the model, checked. Pure.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/subscribers.pb.h"
#include "server/model/subscriber.h"

namespace prov::api {

// A new one: login required; entitlements absent mean mail only. Errors name "subscriber.…".
absl::StatusOr<model::Subscriber> NewSubscriber(const v1::Subscriber& proto);

absl::StatusOr<model::Forward> ForwardOf(std::string_view field, const v1::Forward& proto);

// Whether the mask names updatable fields only, and their values are good (AIP-134).
absl::Status CheckUpdate(const v1::UpdateSubscriberRequest& request);

// CheckUpdate must have been OK.
void ApplyUpdate(const v1::UpdateSubscriberRequest& request, model::Subscriber& subscriber);

}  // namespace prov::api
