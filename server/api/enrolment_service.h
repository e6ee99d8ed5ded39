// prov.v1.Enrolment on the API's port: tokens, renewals, callers' certificates, revocation. What needs no
// client certificate is at the enrolment door; see enrolment_door.h.
#pragma once

#include <chrono>
#include <functional>

#include "prov/v1/enrolment.grpc.pb.h"
#include "server/api/write_call.h"
#include "server/enrol/authority.h"
#include "server/store/certificate_repository.h"

namespace prov::api {

struct EnrolmentOptions {
  const enrol::Authority* authority = nullptr;  // null: this provd has none, and signs nothing
  std::chrono::seconds host_lifetime{0};        // of certificates
  std::chrono::seconds caller_lifetime{0};
  uint32_t port = 0;  // of the enrolment door
  // After a write that changes whom to trust: this provd acts on it at once.
  std::function<void()> trust_changed;
};

// SHA-256 of a token, 32 octets: all that is kept of it.
std::string TokenHash(const std::string& token);

// Thread-safe.
class EnrolmentService final : public v1::Enrolment::Service {
 public:
  EnrolmentService(const WriteCalls& writes, store::CertificateRepository& certificates,
                   EnrolmentOptions options)
      : writes_(writes), certificates_(certificates), options_(std::move(options)) {}

  grpc::Status CreateEnrolmentToken(grpc::ServerContext* context,
                                    const v1::CreateEnrolmentTokenRequest* request,
                                    v1::EnrolmentToken* response) override;
  grpc::Status GetAuthority(grpc::ServerContext* context, const v1::GetAuthorityRequest* request,
                            v1::Authority* response) override;
  grpc::Status Enrol(grpc::ServerContext* context, const v1::EnrolRequest* request,
                     v1::Certificate* response) override;
  grpc::Status RenewCertificate(grpc::ServerContext* context, const v1::RenewCertificateRequest* request,
                                v1::Certificate* response) override;
  grpc::Status IssueCallerCertificate(grpc::ServerContext* context,
                                      const v1::IssueCallerCertificateRequest* request,
                                      v1::Certificate* response) override;
  grpc::Status RevokeCertificate(grpc::ServerContext* context, const v1::RevokeCertificateRequest* request,
                                 v1::RevokeCertificateResponse* response) override;
  grpc::Status ListCertificates(grpc::ServerContext* context, const v1::ListCertificatesRequest* request,
                                v1::ListCertificatesResponse* response) override;

 private:
  absl::Status CheckAuthority() const;
  absl::Status CreateToken(const grpc::ServerContext& context, const v1::CreateEnrolmentTokenRequest& request,
                           v1::EnrolmentToken* response) const;

  const WriteCalls& writes_;
  store::CertificateRepository& certificates_;
  const EnrolmentOptions options_;
};

}  // namespace prov::api
