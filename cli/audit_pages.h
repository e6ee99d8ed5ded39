// Audit records as they come from provd, page by page.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "cli/session.h"
#include "prov/v1/audit.pb.h"

namespace prov::cli {

// Calls `each` with pages of what `request` asks for until there are no more, or `limit` records were seen
// (0: all). Each page gets the whole --timeout. `next_page_token` is not empty if the limit ended the list.
absl::Status EachAuditPage(Session& session, v1::ListAuditRecordsRequest request, int64_t limit,
                           const std::function<absl::Status(const v1::ListAuditRecordsResponse& page)>& each,
                           std::string* next_page_token);

// "2026-11-23T22:35:53Z".
std::string TimeText(const v1::AuditRecord& record);
// "SuspendSubscriber".
std::string MethodText(const v1::AuditRecord& record);
// "1042", or "refused (PERMISSION_DENIED)".
std::string OutcomeText(const v1::AuditRecord& record);
// "192.0.2.1:5123" of gRPC's "ipv4:192.0.2.1:5123".
std::string PeerText(const std::string& peer);

}  // namespace prov::cli
