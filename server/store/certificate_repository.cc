#include "server/store/certificate_repository.h"

#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

constexpr Statement kForgetToken = {"forget_enrolment_token",
                                    "DELETE FROM prov.enrolment_token WHERE host = $1"};
constexpr Statement kInsertToken = {"insert_enrolment_token",
                                    "INSERT INTO prov.enrolment_token (token_hash, host, expire_time) VALUES "
                                    "($1, $2, to_timestamp($3::bigint / "
                                    "1e6))"};
constexpr Statement kUseToken = {"use_enrolment_token", R"(
UPDATE prov.enrolment_token SET used_time = COALESCE(used_time, now()), used_key = $2
WHERE token_hash = $1 AND expire_time > now() AND (used_key IS NULL OR used_key = $2) RETURNING host)"};
constexpr Statement kInsertCertificate = {
    "insert_certificate",
    "INSERT INTO prov.certificate (serial, identity, issued_by, expire_time) VALUES ($1, $2, $3, "
    "to_timestamp($4::bigint / 1e6))"};
constexpr Statement kForgetExpired = {
    "forget_expired_certificates",
    "DELETE FROM prov.certificate WHERE identity = $1 AND expire_time < now() - interval '30 days'"};
constexpr Statement kIsRevoked = {"is_certificate_revoked",
                                  "SELECT 1 FROM prov.revoked_certificate WHERE serial = $1"};
constexpr Statement kRevoke = {"revoke_certificate", R"(
INSERT INTO prov.revoked_certificate (serial, reason, expire_time)
VALUES ($1, $2, (SELECT expire_time FROM prov.certificate WHERE serial = $1)) ON CONFLICT (serial) DO NOTHING)"};
constexpr Statement kRevokeAllOf = {"revoke_certificates_of", R"(
INSERT INTO prov.revoked_certificate (serial, reason, expire_time)
SELECT serial, $2, expire_time FROM prov.certificate WHERE identity = $1 AND expire_time > now()
ON CONFLICT (serial) DO NOTHING)"};
constexpr Statement kCutOff = {"cut_off_identity", R"(
INSERT INTO prov.identity_cut_off (identity) VALUES ($1)
ON CONFLICT (identity) DO UPDATE SET cut_off_time = excluded.cut_off_time)"};
constexpr Statement kMoveTrust = {"move_trust", "UPDATE prov.trust SET version = version + 1"};

constexpr char kList[] = R"(
SELECT c.serial, c.identity, c.issued_by, (date_part('epoch', c.issue_time) * 1e6)::bigint AS issue_us,
       (date_part('epoch', c.expire_time) * 1e6)::bigint AS expire_us,
       (date_part('epoch', r.revoke_time) * 1e6)::bigint AS revoke_us, COALESCE(r.reason, '') AS reason
FROM prov.certificate c LEFT JOIN prov.revoked_certificate r ON r.serial = c.serial
WHERE ($1 = '' OR c.identity = $1)
  AND ($2::bigint = 0 OR (c.issue_time, c.serial) < (to_timestamp($2::bigint / 1e6), $3))
ORDER BY c.issue_time DESC, c.serial DESC LIMIT $4)";

pqxx::binarystring Binary(const std::string& octets) {
  return pqxx::binarystring(octets.data(), octets.size());
}

model::Time TimeOf(const pqxx::field& microseconds) {
  return model::Time(std::chrono::microseconds(microseconds.as<int64_t>()));
}

CertificateRecord RecordOf(const pqxx::row& row) {
  CertificateRecord record;
  record.serial = row["serial"].as<std::string>();
  record.identity = row["identity"].as<std::string>();
  record.issued_by = row["issued_by"].as<std::string>();
  record.issue_time = TimeOf(row["issue_us"]);
  record.expire_time = TimeOf(row["expire_us"]);
  if (!row["revoke_us"].is_null()) record.revoke_time = TimeOf(row["revoke_us"]);
  record.revoke_reason = row["reason"].as<std::string>();
  return record;
}

}  // namespace

absl::StatusOr<std::vector<CertificateRecord>> CertificateRepository::List(const std::string& identity,
                                                                           int64_t before_us,
                                                                           const std::string& before_serial,
                                                                           size_t limit) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("list certificates", [&]() -> absl::StatusOr<std::vector<CertificateRecord>> {
    pqxx::read_transaction read(*lease);
    std::vector<CertificateRecord> records;
    for (const auto& row : read.exec_params(kList, identity, before_us, before_serial, limit)) {
      records.push_back(RecordOf(row));
    }
    return records;
  });
}

void CertificateRepository::SetToken(WriteTransaction& write, const std::string& token_hash,
                                     const std::string& host, model::Time expire_time) {
  write.Execute(kForgetToken, host);
  write.Execute(kInsertToken, Binary(token_hash), host, ToMicroseconds(expire_time));
}

void CertificateRepository::ForgetToken(WriteTransaction& write, const std::string& host) {
  write.Execute(kForgetToken, host);
}

std::optional<std::string> CertificateRepository::UseToken(WriteTransaction& write,
                                                           const std::string& token_hash,
                                                           const std::string& key_hash) {
  const pqxx::result found = write.Execute(kUseToken, Binary(token_hash), Binary(key_hash));
  if (found.empty()) return std::nullopt;
  return found[0][0].as<std::string>();
}

void CertificateRepository::Record(WriteTransaction& write, const CertificateRecord& certificate) {
  write.Execute(kForgetExpired, certificate.identity);
  write.Execute(kInsertCertificate, certificate.serial, certificate.identity, certificate.issued_by,
                ToMicroseconds(certificate.expire_time));
  write.Execute(kMoveTrust);
}

absl::Status CertificateRepository::CheckNotRevoked(WriteTransaction& write, const std::string& serial) {
  if (write.Execute(kIsRevoked, serial).empty()) return absl::OkStatus();
  return FieldError(absl::StatusCode::kUnauthenticated, "certificate", "CERTIFICATE_REVOKED",
                    "is revoked; ask an operator for another");
}

void CertificateRepository::Revoke(WriteTransaction& write, const std::string& serial,
                                   const std::string& reason) {
  write.Execute(kRevoke, serial, reason);
  write.Execute(kMoveTrust);
}

void CertificateRepository::RevokeAllOf(WriteTransaction& write, const std::string& identity,
                                        const std::string& reason) {
  write.Execute(kRevokeAllOf, identity, reason);
  write.Execute(kCutOff, identity);
  write.Execute(kMoveTrust);
}

}  // namespace prov::store
