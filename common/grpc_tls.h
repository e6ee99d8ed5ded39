// Mutual TLS for every gRPC channel, and who is at the other end. There is no insecure variant.
//
// An identity is the URI subject alternative name of a certificate that our CA signed:
//   prov://operator/admin   prov://billing/crm   prov://helpdesk/mary   prov://auditor/eve
//   prov://agent/store1     prov://provd/a
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prov {

// PEM files.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
};

// The role and the name in a peer's certificate.
struct PeerIdentity {
  std::string role;  // "operator", "billing", "helpdesk", "auditor", "agent", "provd"
  std::string name;  // "mary", "store1"
};

// TLS 1.2 and 1.3 (gRPC's own limits). Files that change are read again within a second.

// Asks for and verifies a client certificate.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerTls(const TlsFiles& files);

// Asks for none: callers are nobody. For enrolment alone.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerTlsForStrangers(const TlsFiles& files);

// Verifies the server's certificate against the CA and the host name that was dialled.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientTls(const TlsFiles& files);

// Verifies the server's certificate against the CA, and that it is `expected`'s, wherever it was dialled;
// before anything is sent.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ClientTlsTo(const TlsFiles& files,
                                                                      const PeerIdentity& expected);

// Without a certificate of one's own; for enrolment alone. `ca_pem` is a PEM text. Verifies the server as
// ClientTls does.
std::shared_ptr<grpc::ChannelCredentials> StrangerTls(const std::string& ca_pem);

// Verifies nothing. Good for nothing but to fetch what is verified afterwards: the CA's certificate, by its
// fingerprint.
std::shared_ptr<grpc::ChannelCredentials> UnverifiedTls();

// UNAUTHENTICATED if the peer's certificate has no identity in our form, or more than one.
absl::StatusOr<PeerIdentity> IdentityOf(const grpc::AuthContext& context);

struct PeerCertificate {
  std::string serial;  // lower-case hexadecimal
  std::chrono::system_clock::time_point not_after;
};
// Of the peer. Certificates seen before are not parsed again.
absl::StatusOr<PeerCertificate> PeerCertificateOf(const grpc::AuthContext& context);

// Splits "prov://role/name"; names are [a-z0-9._-]{1,253}.
absl::StatusOr<PeerIdentity> ParseIdentity(std::string_view uri);

}  // namespace prov
