#include "common/grpc_tls.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <unistd.h>

#include <string_view>

#include "common/status.h"

namespace prov {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

constexpr unsigned kRefreshSeconds = 60;
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

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerTls(const TlsFiles& files) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsServerCredentialsOptions options(Provider(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientTls(const TlsFiles& files) {
  PROV_RETURN_IF_ERROR(CheckReadable(files));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Provider(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
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
