#include "common/grpc_tls.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/certificate.h"
#include "common/status.h"

namespace prov {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr unsigned kRefreshSeconds = 1;
constexpr size_t kMostRememberedCertificates = 4096;
constexpr std::string_view kScheme = "prov://";
constexpr size_t kMaxNameOctets = 253;

absl::Status CheckReadable(const TlsFiles& files) {
  for (const std::string* path : {&files.ca, &files.certificate, &files.key}) {
    if (access(path->c_str(), R_OK) != 0) return ErrnoStatus(errno, fmt::format("TLS file {}", *path));
  }
  return absl::OkStatus();
}

std::shared_ptr<FileWatcherCertificateProvider> Provider(const TlsFiles& files) {
  return std::make_shared<FileWatcherCertificateProvider>(files.key, files.certificate, files.ca,
                                                          kRefreshSeconds);
}

// After the chain was verified: whether the certificate is the expected one's.
class IdentityVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit IdentityVerifier(std::string uri) : uri_(std::move(uri)) {}
  ~IdentityVerifier() override = default;

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>, grpc::Status* status) override {
    const auto uris = request->uri_names();
    if (uris.size() != 1 || std::string_view(uris.front().data(), uris.front().size()) != uri_) {
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the server is not " + uri_);
    }
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string uri_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerTls(const TlsFiles& files) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsServerCredentialsOptions options(Provider(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerTlsForStrangers(const TlsFiles& files) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsServerCredentialsOptions options(Provider(files));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return grpc::experimental::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> StrangerTls(const std::string& ca_pem) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ca_pem;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> UnverifiedTls() {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  return grpc::experimental::TlsCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientTls(const TlsFiles& files) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Provider(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientTlsTo(const TlsFiles& files,
                                                                      const PeerIdentity& expected) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Provider(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_check_call_host(false);  // who it is counts, not where
  options.set_certificate_verifier(grpc::experimental::ExternalCertificateVerifier::Create<IdentityVerifier>(
      fmt::format("{}{}/{}", kScheme, expected.role, expected.name)));
  return grpc::experimental::TlsCredentials(options);
}

absl::StatusOr<PeerIdentity> ParseIdentity(std::string_view uri) {
  const auto malformed = [&] {
    return absl::UnauthenticatedError("the certificate's identity is not of the form prov://role/name");
  };
  if (!uri.starts_with(kScheme)) return malformed();
  uri.remove_prefix(kScheme.size());
  const size_t slash = uri.find('/');
  if (slash == std::string_view::npos || slash == 0) return malformed();
  const std::string_view role = uri.substr(0, slash);
  const std::string_view name = uri.substr(slash + 1);
  if (name.empty() || name.size() > kMaxNameOctets) return malformed();
  constexpr std::string_view kNameOctets = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  if (role.find_first_not_of("abcdefghijklmnopqrstuvwxyz") != std::string_view::npos ||
      name.find_first_not_of(kNameOctets) != std::string_view::npos) {
    return malformed();
  }
  return PeerIdentity{std::string(role), std::string(name)};
}

absl::StatusOr<PeerCertificate> PeerCertificateOf(const grpc::AuthContext& context) {
  static std::mutex mutex;
  static auto& remembered = *new std::unordered_map<std::string, PeerCertificate>();
  const auto pems = context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pems.size() != 1) return absl::UnauthenticatedError("a client certificate is required");
  std::string pem(pems[0].data(), pems[0].size());
  {
    const std::lock_guard lock(mutex);
    if (const auto known = remembered.find(pem); known != remembered.end()) return known->second;
  }
  const absl::StatusOr<CertificateFacts> facts = ReadCertificate(pem);
  if (!facts.ok()) return absl::UnauthenticatedError("the client certificate cannot be read");
  PeerCertificate certificate{facts->serial, facts->not_after};
  const std::lock_guard lock(mutex);
  // Only what our CA signed gets here; the bound is for years of renewals.
  if (remembered.size() >= kMostRememberedCertificates) remembered.clear();
  return remembered.insert_or_assign(std::move(pem), std::move(certificate)).first->second;
}

absl::StatusOr<PeerIdentity> IdentityOf(const grpc::AuthContext& context) {
  if (!context.IsPeerAuthenticated()) return absl::UnauthenticatedError("a client certificate is required");
  const auto uris = context.FindPropertyValues("peer_uri");
  if (uris.size() != 1) {
    return absl::UnauthenticatedError(
        "the client certificate must carry exactly one URI subject alternative name, prov://role/name");
  }
  return ParseIdentity(std::string_view(uris[0].data(), uris[0].size()));
}

}  // namespace prov
