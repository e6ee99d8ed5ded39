// How subscribers look.
#pragma once

#include "absl/status/status.h"
#include "cli/session.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

// "active", "suspended", …
std::string StateText(const v1::Subscriber& subscriber);

void PrintSubscriber(const Session& session, const v1::Subscriber& subscriber);
void PrintSubscribers(const Session& session, const v1::ListSubscribersResponse& list);

// After a write: prints "verb login" or the JSON, then waits if asked.
absl::Status ReportWrite(Session& session, std::string_view verb, const v1::Subscriber& subscriber);

}  // namespace prov::cli
