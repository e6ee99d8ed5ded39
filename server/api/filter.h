// The filter language of lists of subscribers and mailing lists: a subset of AIP-160, terms joined by AND.
//
//   state = "SUSPENDED" AND domain = "example.net" AND labels.billing = "4711" AND login = "ali*"
//   web_name = "www.shop.example"
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "server/store/mailing_list_repository.h"
#include "server/store/subscriber_repository.h"

namespace prov::api {

constexpr size_t kMaxFilterOctets = 4096;
constexpr size_t kMaxFilterTerms = 16;

// Fills in what the filter restricts. INVALID_ARGUMENT on `filter` says which term is wrong.
absl::StatusOr<store::SubscriberQuery> ParseSubscriberFilter(std::string_view filter);
absl::StatusOr<store::MailingListQuery> ParseMailingListFilter(std::string_view filter);

// The helpdesk looks subscribers up and does not export them: it names a login, three characters of one, a
// web name or a label, and gets so many at most, in one page.
constexpr size_t kMostLookedUp = 50;
constexpr size_t kLeastLookUpOctets = 3;

// PERMISSION_DENIED on `filter` for a query that looks nobody up but lists.
absl::Status CheckLookUp(const store::SubscriberQuery& query);

}  // namespace prov::api
