#include "server/api/audit_service.h"

#include <fmt/format.h>

#include <cstdlib>

#include "common/grpc_status.h"
#include "common/status.h"
#include "server/api/page_token.h"
#include "server/api/translation.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

constexpr size_t kMaxResourceOctets = 300;

}  // namespace

grpc::Status AuditService::ListAuditRecords(grpc::ServerContext* context,
                                            const v1::ListAuditRecordsRequest* request,
                                            v1::ListAuditRecordsResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(authoriser_.Authorise(*context, "/prov.v1.Audit/ListAuditRecords").status());
    PROV_RETURN_IF_ERROR(model::CheckText("resource", request->resource(), kMaxResourceOctets));
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = "audit " + request->resource();
    PROV_ASSIGN_OR_RETURN(const std::string before, ReadPageToken(token_of, request->page_token()));
    const uint64_t before_id = before.empty() ? 0 : std::strtoull(before.c_str(), nullptr, 10);
    PROV_ASSIGN_OR_RETURN(std::vector<store::AuditRecord> records,
                          audit_.List(before_id, request->resource(), page + 1));
    const bool more = records.size() > page;
    if (more) records.resize(page);
    for (const store::AuditRecord& record : records) *response->add_records() = ToProto(record);
    if (more) response->set_next_page_token(MakePageToken(token_of, std::to_string(records.back().id)));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

}  // namespace prov::api
