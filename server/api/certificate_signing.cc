#include "server/api/certificate_signing.h"

#include <google/protobuf/util/time_util.h>

#include "common/certificate.h"
#include "common/status.h"
#include "server/api/write_call.h"

namespace prov::api {
namespace {

google::protobuf::Timestamp TimestampOf(std::chrono::system_clock::time_point time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

}  // namespace

absl::StatusOr<v1::Certificate> SignAndRecord(store::WriteTransaction& write,
                                              const enrol::Authority& authority,
                                              const SigningRequest& request) {
  enrol::Authority::Subject subject;
  subject.identity = "prov://" + request.identity;
  subject.lifetime = request.lifetime;
  v1::Certificate certificate;
  PROV_ASSIGN_OR_RETURN(*certificate.mutable_certificate_pem(), authority.Sign(subject, request.key));
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate.certificate_pem()));
  certificate.set_chain_pem(authority.certificate_pem());
  certificate.set_serial(facts.serial);
  certificate.set_identity(request.identity);
  *certificate.mutable_expire_time() = TimestampOf(facts.not_after);
  store::CertificateRecord record;
  record.serial = facts.serial;
  record.identity = request.identity;
  record.issued_by = request.issued_by;
  record.expire_time = facts.not_after;
  store::CertificateRepository::Record(write, record);
  return certificate;
}

store::WriteResult SigningResult(const std::string& resource, const v1::Certificate& certificate) {
  v1::IssuedCertificate issued;
  issued.set_serial(certificate.serial());
  issued.set_identity(certificate.identity());
  *issued.mutable_expire_time() = certificate.expire_time();
  return Result(resource, nullptr, issued, certificate);
}

v1::IssuedCertificate ToProto(const store::CertificateRecord& record) {
  v1::IssuedCertificate proto;
  proto.set_serial(record.serial);
  proto.set_identity(record.identity);
  proto.set_issued_by(record.issued_by);
  *proto.mutable_issue_time() = TimestampOf(record.issue_time);
  *proto.mutable_expire_time() = TimestampOf(record.expire_time);
  if (record.revoke_time) *proto.mutable_revoke_time() = TimestampOf(*record.revoke_time);
  proto.set_revoke_reason(record.revoke_reason);
  return proto;
}

}  // namespace prov::api
