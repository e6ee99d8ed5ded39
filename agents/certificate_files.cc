#include "agents/certificate_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

std::string NextPath(const AgentConfig::Tls& files) { return files.key + ".next"; }

absl::Status TakeNextKey(const AgentConfig::Tls& files) {
  if (rename(NextPath(files).c_str(), files.key.c_str()) != 0) {
    return ErrnoStatus(errno, fmt::format("rename {} to {}", NextPath(files), files.key));
  }
  return SyncDirectory(std::filesystem::path(files.key).parent_path().string());
}

}  // namespace

absl::StatusOr<std::string> NextKey(const AgentConfig::Tls& files) {
  absl::StatusOr<std::string> left = ReadFile(NextPath(files), kMaxPemOctets);
  // One that cannot be read was never used: files are written whole, and only then is a certificate asked
  // for.
  if (left.ok() && MakeCertificateRequest(*left).ok()) return left;
  if (!left.ok() && !absl::IsNotFound(left.status())) return left;
  PROV_ASSIGN_OR_RETURN(const std::string key, MakeKey());
  PROV_RETURN_IF_ERROR(ReplaceFile(NextPath(files), key, 0600));
  return key;
}

absl::Status AdoptCertificate(const AgentConfig::Tls& files, const std::string& certificate_pem) {
  PROV_ASSIGN_OR_RETURN(const std::string key, ReadFile(NextPath(files), kMaxPemOctets));
  if (!IsCertificateOfKey(certificate_pem, key)) {
    return absl::FailedPreconditionError("the certificate is not for the key that was sent");
  }
  PROV_RETURN_IF_ERROR(ReplaceFile(files.certificate, certificate_pem, 0644));
  return TakeNextKey(files);
}

absl::Status FinishAdoption(const AgentConfig::Tls& files) {
  const absl::StatusOr<std::string> next = ReadFile(NextPath(files), kMaxPemOctets);
  if (absl::IsNotFound(next.status())) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(next.status());
  const absl::StatusOr<std::string> certificate = ReadFile(files.certificate, kMaxPemOctets);
  if (!certificate.ok() || !IsCertificateOfKey(*certificate, *next)) return absl::OkStatus();
  return TakeNextKey(files);
}

absl::StatusOr<CertificateFacts> ReadOwnCertificate(const AgentConfig::Tls& files) {
  PROV_ASSIGN_OR_RETURN(const std::string pem, ReadFile(files.certificate, kMaxPemOctets));
  absl::StatusOr<CertificateFacts> facts = ReadCertificate(pem);
  if (!facts.ok()) return Annotate(facts.status(), files.certificate);
  return facts;
}

}  // namespace prov
