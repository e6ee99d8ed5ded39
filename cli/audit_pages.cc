#include "cli/audit_pages.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <limits>

#include "common/status.h"
#include "prov/v1/audit.grpc.pb.h"

namespace prov::cli {

absl::Status EachAuditPage(Session& session, v1::ListAuditRecordsRequest request, int64_t limit,
                           const std::function<absl::Status(const v1::ListAuditRecordsResponse& page)>& each,
                           std::string* next_page_token) {
  constexpr int64_t kPage = 1000;
  auto stub = v1::Audit::NewStub(session.channel());
  for (int64_t left = limit == 0 ? std::numeric_limits<int64_t>::max() : limit; left > 0;) {
    request.set_page_size(static_cast<int32_t>(std::min(left, kPage)));
    v1::ListAuditRecordsResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListAuditRecords(context, request, &page); }));
    PROV_RETURN_IF_ERROR(each(page));
    left -= page.records_size();
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  *next_page_token = request.page_token();
  return absl::OkStatus();
}

std::string TimeText(const v1::AuditRecord& record) {
  google::protobuf::Timestamp time = record.time();
  time.set_nanos(0);
  return google::protobuf::util::TimeUtil::ToString(time);
}

std::string MethodText(const v1::AuditRecord& record) {
  return record.method().substr(record.method().rfind('/') + 1);
}

std::string OutcomeText(const v1::AuditRecord& record) {
  if (record.code() == 0) return std::to_string(record.revision());
  return fmt::format("refused ({})", absl::StatusCodeToString(static_cast<absl::StatusCode>(record.code())));
}

std::string PeerText(const std::string& peer) {
  std::string text = peer;
  if (text.starts_with("ipv4:") || text.starts_with("ipv6:")) text.erase(0, 5);
  // gRPC escapes the brackets (RFC 3986 section 2.1).
  for (const auto& [escaped, plain] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}}) {
    if (const size_t at = text.find(escaped); at != std::string::npos) text.replace(at, 3, plain);
  }
  return text;
}

}  // namespace prov::cli
