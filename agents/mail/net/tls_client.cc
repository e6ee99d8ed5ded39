#include "agents/mail/net/tls_client.h"

#include <asio/ip/address.hpp>
#include <system_error>
#include <utility>

namespace prov::net {
namespace {

class OpportunisticParty final : public TlsParty {
 public:
  OpportunisticParty(SSL_CTX* context, std::string host) : context_(context), host_(std::move(host)) {}

  absl::StatusOr<openssl::Ssl> Begin() const override {
    openssl::Ssl ssl(SSL_new(context_));
    if (!ssl) return openssl::Error("SSL_new");
    std::error_code error;
    asio::ip::make_address(host_, error);
    // RFC 6066 section 3: an address is no server name.
    if (error && SSL_set_tlsext_host_name(ssl.get(), host_.c_str()) != 1)
      return openssl::Error("server name");
    SSL_set_connect_state(ssl.get());
    return ssl;
  }

 private:
  SSL_CTX* const context_;
  const std::string host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpportunisticTls>> OpportunisticTls::Make() {
  openssl::Context context(SSL_CTX_new(TLS_client_method()));
  if (!context) return openssl::Error("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return std::unique_ptr<OpportunisticTls>(new OpportunisticTls(std::move(context)));
}

std::unique_ptr<TlsParty> OpportunisticTls::Towards(std::string host) const {
  return std::make_unique<OpportunisticParty>(context_.get(), std::move(host));
}

}  // namespace prov::net
