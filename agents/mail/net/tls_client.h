// Us as a client of another mail server.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agents/mail/net/tls_party.h"

namespace prov::net {

// Encrypts and does not ask who is there: between mail servers a certificate that nobody can check is better
// than clear text (RFC 7435). What a caller knows about the peer from elsewhere (DANE, MTA-STS) is checked by
// a party of its own.
class OpportunisticTls {
 public:
  static absl::StatusOr<std::unique_ptr<OpportunisticTls>> Make();

  // Towards `host`, which is named to the server unless it is an address. Must not outlive this object.
  std::unique_ptr<TlsParty> Towards(std::string host) const;

 private:
  explicit OpportunisticTls(openssl::Context context) : context_(std::move(context)) {}
  const openssl::Context context_;
};

}  // namespace prov::net
