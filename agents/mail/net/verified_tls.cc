#include "agents/mail/net/verified_tls.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <chrono>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "agents/mail/net/file_version.h"
#include "common/openssl_handles.h"
#include "common/status.h"

namespace prov::net {
namespace {

using Clock = std::chrono::steady_clock;

// A certificate that was revoked or replaced is seen after so long.
constexpr std::chrono::minutes kSessionLife(10);
constexpr size_t kMostSessions = 1000;  // of different peers

bool IsAddress(const std::string& host) {
  std::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

using Names = std::unique_ptr<GENERAL_NAMES, openssl::Freer<GENERAL_NAMES_free>>;

bool HasUri(X509* certificate, const std::string& uri) {
  const Names names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const auto* text =
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier));
    const auto octets = static_cast<size_t>(ASN1_STRING_length(name->d.uniformResourceIdentifier));
    if (std::string_view(text, octets) == uri) return true;
  }
  return false;
}

bool IsOf(X509* certificate, const TlsIdentity& identity) {
  if (!identity.uri.empty() && HasUri(certificate, identity.uri)) return true;
  return std::any_of(identity.hosts.begin(), identity.hosts.end(), [&](const std::string& host) {
    return IsAddress(host) ? X509_check_ip_asc(certificate, host.c_str(), 0) == 1
                           : X509_check_host(certificate, host.c_str(), host.size(),
                                             X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
  });
}

// Sessions to resume, by identity.
class Sessions {
 public:
  using Handle = std::unique_ptr<SSL_SESSION, openssl::Freer<SSL_SESSION_free>>;

  void Keep(const std::string& identity, Handle session) {
    const std::lock_guard lock(mutex_);
    if (by_identity_.size() >= kMostSessions) by_identity_.clear();
    by_identity_[identity] = {std::move(session), Clock::now() + kSessionLife};
  }

  void Offer(const std::string& identity, SSL* ssl) {
    const std::lock_guard lock(mutex_);
    const auto found = by_identity_.find(identity);
    if (found == by_identity_.end()) return;
    if (found->second.until <= Clock::now()) {
      by_identity_.erase(found);
    } else {
      SSL_set_session(ssl, found->second.session.get());
    }
  }

 private:
  struct Entry {
    Handle session;
    Clock::time_point until;
  };
  std::mutex mutex_;
  std::map<std::string, Entry> by_identity_;
};

// What belongs to one reading of the file: sessions begun under other certificates are not resumed.
struct Trust {
  openssl::Context context;
  FileVersion version;
  Sessions sessions;
};

class VerifiedParty final : public TlsParty {
 public:
  VerifiedParty(std::shared_ptr<Trust> trust, TlsIdentity identity)
      : trust_(std::move(trust)), identity_(std::move(identity)), key_(identity_.uri) {
    for (const std::string& host : identity_.hosts) key_ += "\n" + host;
  }

  absl::StatusOr<openssl::Ssl> Begin() const override {
    openssl::Ssl ssl(SSL_new(trust_->context.get()));
    if (!ssl) return openssl::Error("SSL_new");
    const std::string& host = identity_.hosts.front();
    // RFC 6066 section 3: an address is no server name.
    if (!IsAddress(host) && SSL_set_tlsext_host_name(ssl.get(), host.c_str()) != 1)
      return openssl::Error("server name");
    SSL_set_app_data(ssl.get(), const_cast<VerifiedParty*>(this));
    SSL_set_verify(ssl.get(), SSL_VERIFY_PEER, Verify);
    SSL_set_connect_state(ssl.get());
    trust_->sessions.Offer(key_, ssl.get());
    return ssl;
  }

  static int KeepSession(SSL* ssl, SSL_SESSION* session) {
    const auto* self = static_cast<const VerifiedParty*>(SSL_get_app_data(ssl));
    self->trust_->sessions.Keep(self->key_, Sessions::Handle(session));
    return 1;  // the reference is ours
  }

 private:
  // Called for each certificate of the chain, after OpenSSL's own checks.
  static int Verify(int good, X509_STORE_CTX* store) {
    if (good == 0 || X509_STORE_CTX_get_error_depth(store) != 0) return good;
    const auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const auto* self = static_cast<const VerifiedParty*>(SSL_get_app_data(ssl));
    if (IsOf(X509_STORE_CTX_get_current_cert(store), self->identity_)) return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
  }

  const std::shared_ptr<Trust> trust_;
  const TlsIdentity identity_;
  std::string key_;
};

absl::StatusOr<std::shared_ptr<Trust>> ReadTrust(const std::string& ca) {
  auto trust = std::make_shared<Trust>();
  trust->version = VersionOf(ca);  // before it is read: what changes meanwhile is read again
  trust->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = trust->context.get();
  if (context == nullptr) return openssl::Error("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, VerifiedParty::KeepSession);
  if (SSL_CTX_load_verify_file(context, ca.c_str()) != 1)
    return absl::InvalidArgumentError(std::string(MessageOf(openssl::Error(ca))));
  return trust;
}

class FileVerifiedTls final : public VerifiedTls {
 public:
  FileVerifiedTls(std::string ca, std::shared_ptr<Trust> trust)
      : ca_(std::move(ca)), trust_(std::move(trust)) {}

  std::unique_ptr<TlsParty> Towards(TlsIdentity identity) override {
    return std::make_unique<VerifiedParty>(Current(), std::move(identity));
  }

  absl::StatusOr<bool> Refresh() override {
    if (VersionOf(ca_) == Current()->version) return false;
    PROV_ASSIGN_OR_RETURN(auto trust, ReadTrust(ca_));
    const std::lock_guard lock(mutex_);
    trust_ = std::move(trust);
    return true;
  }

 private:
  std::shared_ptr<Trust> Current() const {
    const std::lock_guard lock(mutex_);
    return trust_;
  }

  const std::string ca_;
  mutable std::mutex mutex_;
  std::shared_ptr<Trust> trust_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VerifiedTls>> VerifiedTls::Make(std::string ca) {
  PROV_ASSIGN_OR_RETURN(auto trust, ReadTrust(ca));
  return std::make_unique<FileVerifiedTls>(std::move(ca), std::move(trust));
}

}  // namespace prov::net
