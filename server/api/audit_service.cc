#include "server/api/audit_service.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <cstdlib>
#include <limits>

#include "absl/strings/escaping.h"
#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/page_token.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;
using store::AuditBreak;
using store::AuditHead;

constexpr size_t kMaxResourceOctets = 300;
constexpr size_t kMaxCallerOctets = 100;
// Of one call of VerifyAuditLog: a second or two.
constexpr uint64_t kMostRecordsPerCall = 200'000;
constexpr size_t kHashDigits = 64;

// Others may see what was done to one subscriber, for that is what they are asked about.
bool MaySeeAll(const Caller& caller) { return caller.role == "operator" || caller.role == "auditor"; }

absl::Status CheckScope(const Authoriser& authoriser, const Caller& caller, const std::string& resource) {
  constexpr std::string_view kSubscribers = "subscribers/";
  if (MaySeeAll(caller)) return absl::OkStatus();
  if (resource.starts_with(kSubscribers) && resource.size() > kSubscribers.size()) return absl::OkStatus();
  return authoriser.Refuse(
      caller, "/prov.v1.Audit/ListAuditRecords",
      absl::PermissionDeniedError(fmt::format(
          "{} may see the history of one subscriber at a time; name it as resource", caller.ToString())));
}

// As timestamp.proto bounds it: the years 1 to 9999.
bool IsTime(const google::protobuf::Timestamp& time) {
  return time.seconds() >= TimeUtil::kTimestampMinSeconds &&
         time.seconds() <= TimeUtil::kTimestampMaxSeconds && time.nanos() >= 0 &&
         time.nanos() < 1'000'000'000;
}

absl::StatusOr<store::AuditQuery> QueryOf(const v1::ListAuditRecordsRequest& request) {
  PROV_RETURN_IF_ERROR(model::CheckText("resource", request.resource(), kMaxResourceOctets));
  PROV_RETURN_IF_ERROR(model::CheckText("caller", request.caller(), kMaxCallerOctets));
  store::AuditQuery query;
  query.resource = request.resource();
  query.caller = request.caller();
  if (request.has_since()) {
    if (!IsTime(request.since())) return InvalidField("since", "is not a time");
    query.since = model::Time(std::chrono::microseconds(TimeUtil::TimestampToMicroseconds(request.since())));
  }
  return query;
}

absl::StatusOr<AuditHead> HeadOf(const char* field, const v1::AuditHead& proto) {
  if (proto.hash().size() != kHashDigits ||
      proto.hash().find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidField(fmt::format("{}.hash", field), "is not 64 hexadecimal digits, in lower case");
  }
  if (proto.id() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return InvalidField(fmt::format("{}.id", field), "is no record's");
  return AuditHead{proto.id(), absl::HexStringToBytes(proto.hash())};
}

v1::AuditHead ToProto(const AuditHead& head) {
  v1::AuditHead proto;
  proto.set_id(head.id);
  proto.set_hash(store::HexOf(head.hash));
  return proto;
}

v1::VerifyAuditLogResponse::Break ToProto(AuditBreak::Kind kind) {
  switch (kind) {
    case AuditBreak::Kind::kChanged:
      return v1::VerifyAuditLogResponse::CHANGED;
    case AuditBreak::Kind::kMissing:
      return v1::VerifyAuditLogResponse::MISSING;
    case AuditBreak::Kind::kTruncated:
      return v1::VerifyAuditLogResponse::TRUNCATED;
    case AuditBreak::Kind::kRewritten:
      return v1::VerifyAuditLogResponse::REWRITTEN;
  }
  return v1::VerifyAuditLogResponse::BREAK_UNSPECIFIED;
}

}  // namespace

grpc::Status AuditService::ListAuditRecords(grpc::ServerContext* context,
                                            const v1::ListAuditRecordsRequest* request,
                                            v1::ListAuditRecordsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const Caller caller,
                          authoriser_.Authorise(*context, "/prov.v1.Audit/ListAuditRecords"));
    PROV_ASSIGN_OR_RETURN(store::AuditQuery query, QueryOf(*request));
    PROV_RETURN_IF_ERROR(CheckScope(authoriser_, caller, request->resource()));
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = fmt::format("audit {} {} {}", TimeUtil::ToString(request->since()),
                                             request->caller(), request->resource());
    PROV_ASSIGN_OR_RETURN(const std::string before, ReadPageToken(token_of, request->page_token()));
    query.before_id = before.empty() ? 0 : std::strtoull(before.c_str(), nullptr, 10);
    query.limit = page + 1;  // one more tells whether there is a next page
    PROV_ASSIGN_OR_RETURN(std::vector<store::AuditRecord> records, audit_.List(query));
    const bool more = records.size() > page;
    if (more) records.resize(page);
    for (const store::AuditRecord& record : records) *response->add_records() = ToProto(record);
    if (more) response->set_next_page_token(MakePageToken(token_of, std::to_string(records.back().id)));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

grpc::Status AuditService::VerifyAuditLog(grpc::ServerContext* context,
                                          const v1::VerifyAuditLogRequest* request,
                                          v1::VerifyAuditLogResponse* response) {
  const auto verify = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(authoriser_.Authorise(*context, "/prov.v1.Audit/VerifyAuditLog").status());
    store::AuditCheck check;
    if (request->has_after()) {
      PROV_ASSIGN_OR_RETURN(check.after, HeadOf("after", request->after()));
    }
    if (request->has_noted()) {
      PROV_ASSIGN_OR_RETURN(check.noted, HeadOf("noted", request->noted()));
    }
    check.most_records = kMostRecordsPerCall;
    check.cancelled = [&] { return context->IsCancelled(); };
    PROV_ASSIGN_OR_RETURN(const store::AuditVerdict verdict, audit_.Verify(check));
    response->set_records_checked(verdict.records_checked);
    *response->mutable_head() = ToProto(verdict.head);
    *response->mutable_reached() = ToProto(verdict.reached);
    response->set_complete(verdict.complete);
    if (verdict.broken) {
      response->set_first_broken_id(verdict.broken->id);
      response->set_broken(ToProto(verdict.broken->kind));
      response->set_reason(verdict.broken->reason);
    }
    return absl::OkStatus();
  };
  return ToGrpcStatus(verify());
}

}  // namespace prov::api
