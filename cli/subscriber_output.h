// How subscribers look.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

// "suspend", "resume", "delete".
std::string ActionText(const v1::ScheduledChange& change);

// "active", "suspended", …
std::string StateText(const v1::Subscriber& subscriber);

void PrintSubscriber(const Session& session, const v1::Subscriber& subscriber);

// A list that comes page by page, printed as one table or as one JSON document; memory is that of a page.
class SubscriberListing {
 public:
  explicit SubscriberListing(Format format);

  void Print(const v1::ListSubscribersResponse& page);
  // `next_page_token`: not empty if a limit ended the list.
  void End(const std::string& next_page_token);

 private:
  const Format format_;
  Table table_;
  bool begun_ = false;
};

// After a write: prints "verb login" or the JSON, then waits if asked.
absl::Status ReportWrite(Session& session, std::string_view verb, const v1::Subscriber& subscriber);

}  // namespace prov::cli
