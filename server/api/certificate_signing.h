// What all certificates that provd gives out have in common: signed, and put on record in the same write.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "prov/v1/enrolment.pb.h"
#include "server/enrol/authority.h"
#include "server/store/certificate_repository.h"
#include "server/store/write_queue.h"

namespace prov::api {

struct SigningRequest {
  std::string identity;  // "agent/store1"
  std::string issued_by;
  std::chrono::seconds lifetime{0};
  enrol::RequestedKey key;
};

// The certificate, and its record in `write`.
absl::StatusOr<v1::Certificate> SignAndRecord(store::WriteTransaction& write,
                                              const enrol::Authority& authority,
                                              const SigningRequest& request);

// For a write's body to return: the audit shows who got which certificate, not the certificate.
store::WriteResult SigningResult(const std::string& resource, const v1::Certificate& certificate);

v1::IssuedCertificate ToProto(const store::CertificateRecord& record);

}  // namespace prov::api
