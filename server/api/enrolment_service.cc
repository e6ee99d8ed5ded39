#include "server/api/enrolment_service.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "common/random.h"
#include "common/status.h"
#include "server/api/certificate_signing.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/store/fleet_repository.h"

namespace prov::api {
namespace {

using store::CertificateRepository;
using store::WriteResult;
using store::WriteTransaction;

constexpr std::chrono::seconds kUsualTokenLifetime = std::chrono::hours(1);
constexpr std::chrono::seconds kLongestTokenLifetime = std::chrono::hours(24);
constexpr size_t kTokenOctets = 32;
constexpr size_t kMostSerialOctets = 20;  // RFC 5280 section 4.1.2.2
constexpr std::string_view kCallerRoles[] = {"billing", "helpdesk", "operator", "auditor"};

absl::StatusOr<std::chrono::seconds> TokenLifetime(const google::protobuf::Duration& wanted) {
  if (wanted.seconds() == 0 && wanted.nanos() == 0) return kUsualTokenLifetime;
  if (wanted.seconds() < 1 || wanted.seconds() > kLongestTokenLifetime.count() || wanted.nanos() != 0) {
    return InvalidField("lifetime", "must be whole seconds, from one to a day");
  }
  return std::chrono::seconds(wanted.seconds());
}

// "0A:1B" as openssl shows it, and "0a1b" as we do.
absl::StatusOr<std::string> SerialOf(std::string serial) {
  std::erase(serial, ':');
  absl::AsciiStrToLower(&serial);
  if (serial.empty() || serial.size() > 2 * kMostSerialOctets ||
      serial.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidField("serial",
                        "must be a certificate's serial number, up to 40 hexadecimal digits; "
                        "provctl list-certificates shows those on record");
  }
  return serial.size() % 2 == 0 ? serial : "0" + serial;
}

absl::StatusOr<std::string> CallerIdentity(const v1::IssueCallerCertificateRequest& request) {
  if (std::find(std::begin(kCallerRoles), std::end(kCallerRoles), request.role()) == std::end(kCallerRoles)) {
    return InvalidField("role", "must be billing, helpdesk, operator or auditor");
  }
  if (!ParseIdentity(fmt::format("prov://{}/{}", request.role(), request.caller())).ok()) {
    return InvalidField("caller", "must be a name of a-z, 0-9, dot, underscore and hyphen, up to 253 long");
  }
  return fmt::format("{}/{}", request.role(), request.caller());
}

absl::Status CheckHostMayRenew(WriteTransaction& write, const std::string& id) {
  PROV_ASSIGN_OR_RETURN(const model::Host host, store::FleetRepository::FindHost(write, id));
  if (host.state == model::HostState::kServing || host.state == model::HostState::kDrained) {
    return absl::OkStatus();
  }
  return FieldError(absl::StatusCode::kPermissionDenied, "certificate", "HOST_STATE",
                    fmt::format("{} is {}", id, model::HostStateName(host.state)));
}

}  // namespace

std::string TokenHash(const std::string& token) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest);
  return std::string(reinterpret_cast<char*>(digest), sizeof digest);
}

absl::Status EnrolmentService::CheckAuthority() const {
  if (options_.authority != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this provd has no CA to sign with; enrolment.ca_directory in provd.toml names one");
}

absl::Status EnrolmentService::CreateToken(const grpc::ServerContext& context,
                                           const v1::CreateEnrolmentTokenRequest& request,
                                           v1::EnrolmentToken* response) const {
  std::string key;
  std::string token;
  std::chrono::system_clock::time_point expires;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckAuthority());
    PROV_RETURN_IF_ERROR(model::CheckRequestId(request.request_id()));
    PROV_ASSIGN_OR_RETURN(key, HostKeyOf("host", request.host()));
    PROV_ASSIGN_OR_RETURN(const std::chrono::seconds lifetime, TokenLifetime(request.lifetime()));
    expires = std::chrono::system_clock::now() + lifetime;
    token = fmt::format("{}.{}", RandomHex(kTokenOctets), options_.authority->fingerprint());
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
    PROV_ASSIGN_OR_RETURN(const model::Host host, store::FleetRepository::FindHost(write, key));
    if (host.state == model::HostState::kBanned) {
      return FieldError(absl::StatusCode::kFailedPrecondition, "host", "HOST_BANNED",
                        fmt::format("{} is banned: it may never enrol", key));
    }
    CertificateRepository::SetToken(write, TokenHash(token), key, expires);
    v1::EnrolmentToken told;  // what audit and answer have in common: not the token
    *told.mutable_expire_time() =
        google::protobuf::util::TimeUtil::TimeTToTimestamp(std::chrono::system_clock::to_time_t(expires));
    told.set_ca_fingerprint(options_.authority->fingerprint());
    told.set_enrolment_port(options_.port);
    return Result(request.host(), nullptr, told, told);
  };
  // No request id: an answer that is remembered would keep the token.
  PROV_RETURN_IF_ERROR(
      writes_.Run(context, {"/prov.v1.Enrolment/CreateEnrolmentToken", &request, "", request.validate_only()},
                  prepare, body, response));
  if (!request.validate_only()) response->set_token(token);
  return absl::OkStatus();
}

grpc::Status EnrolmentService::CreateEnrolmentToken(grpc::ServerContext* context,
                                                    const v1::CreateEnrolmentTokenRequest* request,
                                                    v1::EnrolmentToken* response) {
  return ToGrpcStatus(CreateToken(*context, *request, response));
}

grpc::Status EnrolmentService::GetAuthority(grpc::ServerContext* context, const v1::GetAuthorityRequest*,
                                            v1::Authority*) {
  return ToGrpcStatus(writes_.authoriser().Authorise(*context, "/prov.v1.Enrolment/GetAuthority").status());
}

grpc::Status EnrolmentService::Enrol(grpc::ServerContext* context, const v1::EnrolRequest*,
                                     v1::Certificate*) {
  return ToGrpcStatus(writes_.authoriser().Authorise(*context, "/prov.v1.Enrolment/Enrol").status());
}

grpc::Status EnrolmentService::RenewCertificate(grpc::ServerContext* context,
                                                const v1::RenewCertificateRequest* request,
                                                v1::Certificate* response) {
  SigningRequest signing;
  PeerCertificate own;
  PeerIdentity identity;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckAuthority());
    PROV_ASSIGN_OR_RETURN(identity, IdentityOf(*context->auth_context()));
    PROV_ASSIGN_OR_RETURN(own, PeerCertificateOf(*context->auth_context()));
    PROV_ASSIGN_OR_RETURN(signing.key, enrol::CheckCertificateRequest(request->certificate_request_der()));
    signing.identity = signing.issued_by = fmt::format("{}/{}", identity.role, identity.name);
    signing.lifetime = identity.role == "agent" ? options_.host_lifetime : options_.caller_lifetime;
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
    // Another provd may have revoked it a moment ago; what it got now would outlive that.
    PROV_RETURN_IF_ERROR(CertificateRepository::CheckNotRevoked(write, own.serial));
    if (identity.role == "agent") PROV_RETURN_IF_ERROR(CheckHostMayRenew(write, identity.name));
    PROV_ASSIGN_OR_RETURN(const v1::Certificate certificate,
                          SignAndRecord(write, *options_.authority, signing));
    return SigningResult("certificates/" + certificate.serial(), certificate);
  };
  const absl::Status status = writes_.Run(
      *context, {"/prov.v1.Enrolment/RenewCertificate", request, "", false}, prepare, body, response);
  if (status.ok()) options_.trust_changed();
  return ToGrpcStatus(status);
}

grpc::Status EnrolmentService::IssueCallerCertificate(grpc::ServerContext* context,
                                                      const v1::IssueCallerCertificateRequest* request,
                                                      v1::Certificate* response) {
  SigningRequest signing;
  const auto prepare = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(CheckAuthority());
    PROV_ASSIGN_OR_RETURN(signing.identity, CallerIdentity(*request));
    PROV_ASSIGN_OR_RETURN(signing.key, enrol::CheckCertificateRequest(request->certificate_request_der()));
    PROV_ASSIGN_OR_RETURN(const PeerIdentity caller, IdentityOf(*context->auth_context()));
    signing.issued_by = fmt::format("{}/{}", caller.role, caller.name);
    signing.lifetime = options_.caller_lifetime;
    return absl::OkStatus();
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
    // A rehearsal must not hand out what is not on record.
    if (request->validate_only())
      return Result("certificates/-", nullptr, v1::Certificate(), v1::Certificate());
    PROV_ASSIGN_OR_RETURN(const v1::Certificate certificate,
                          SignAndRecord(write, *options_.authority, signing));
    return SigningResult("certificates/" + certificate.serial(), certificate);
  };
  const absl::Status status = writes_.Run(
      *context,
      {"/prov.v1.Enrolment/IssueCallerCertificate", request, request->request_id(), request->validate_only()},
      prepare, body, response);
  if (status.ok()) options_.trust_changed();
  return ToGrpcStatus(status);
}

grpc::Status EnrolmentService::RevokeCertificate(grpc::ServerContext* context,
                                                 const v1::RevokeCertificateRequest* request,
                                                 v1::RevokeCertificateResponse* response) {
  std::string serial;
  const auto prepare = [&]() -> absl::Status {
    PROV_ASSIGN_OR_RETURN(serial, SerialOf(request->serial()));
    return model::CheckText("reason", request->reason(), model::kMaxReasonCharacters);
  };
  const auto body = [&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
    CertificateRepository::Revoke(write, serial, request->reason());
    v1::IssuedCertificate revoked;
    revoked.set_serial(serial);
    revoked.set_revoke_reason(request->reason());
    return Result("certificates/" + serial, nullptr, revoked, v1::RevokeCertificateResponse());
  };
  const absl::Status status = writes_.Run(
      *context,
      {"/prov.v1.Enrolment/RevokeCertificate", request, request->request_id(), request->validate_only()},
      prepare, body, response);
  if (status.ok()) options_.trust_changed();
  return ToGrpcStatus(status);
}

grpc::Status EnrolmentService::ListCertificates(grpc::ServerContext* context,
                                                const v1::ListCertificatesRequest* request,
                                                v1::ListCertificatesResponse* response) {
  const auto list = [&]() -> absl::Status {
    PROV_RETURN_IF_ERROR(
        writes_.authoriser().Authorise(*context, "/prov.v1.Enrolment/ListCertificates").status());
    PROV_RETURN_IF_ERROR(model::CheckText("identity", request->identity(), 300));
    PROV_ASSIGN_OR_RETURN(const size_t page, PageSize(request->page_size()));
    const std::string token_of = "certificates " + request->identity();
    PROV_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(token_of, request->page_token()));
    int64_t before_us = 0;
    std::from_chars(after.data(), after.data() + after.size(), before_us);
    const std::string before_serial = after.substr(std::min(after.find(' '), after.size() - 1) + 1);
    PROV_ASSIGN_OR_RETURN(std::vector<store::CertificateRecord> records,
                          certificates_.List(request->identity(), before_us, before_serial, page + 1));
    const bool more = records.size() > page;
    if (more) records.resize(page);
    for (const store::CertificateRecord& record : records) *response->add_certificates() = ToProto(record);
    if (!more) return absl::OkStatus();
    const auto last_us =
        std::chrono::duration_cast<std::chrono::microseconds>(records.back().issue_time.time_since_epoch());
    response->set_next_page_token(
        MakePageToken(token_of, fmt::format("{} {}", last_us.count(), records.back().serial)));
    return absl::OkStatus();
  };
  return ToGrpcStatus(list());
}

}  // namespace prov::api
