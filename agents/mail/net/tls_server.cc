#include "agents/mail/net/tls_server.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "agents/mail/net/file_version.h"
#include "common/status.h"

namespace prov::net {
namespace {

// Resumed sessions are of this application.
constexpr unsigned char kSessionContext[] = "prov-mail";

// Certificates that belong together; never changed once made.
struct Contexts {
  std::vector<openssl::Context> list;
  std::vector<FileVersion> versions;
};

std::vector<FileVersion> VersionsOf(const std::vector<CertificateFiles>& files) {
  std::vector<FileVersion> versions;
  for (const CertificateFiles& pair : files) {
    versions.push_back(VersionOf(pair.chain));
    versions.push_back(VersionOf(pair.key));
  }
  return versions;
}

// A key that asks for a pass phrase must fail, not ask on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

// OpenSSL's word for what is wrong with a file is no fault of ours.
absl::Status BadFile(const std::string& path) {
  return absl::InvalidArgumentError(std::string(MessageOf(openssl::Error(path))));
}

absl::StatusOr<openssl::Context> ContextOf(const CertificateFiles& files) {
  openssl::Context context(SSL_CTX_new(TLS_server_method()));
  if (!context) return openssl::Error("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A session that waits keeps no buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Tickets resume sessions; a cache would cost memory for each client.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_default_passwd_cb(context.get(), NoPassphrase);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.chain.c_str()) != 1)
    return BadFile(files.chain);
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return BadFile(files.key);
  if (SSL_CTX_check_private_key(context.get()) != 1) return BadFile(files.key);
  return context;
}

absl::StatusOr<std::shared_ptr<const Contexts>> ReadAll(const std::vector<CertificateFiles>& files) {
  auto contexts = std::make_shared<Contexts>();
  // Before they are read: what changes meanwhile is read again.
  contexts->versions = VersionsOf(files);
  for (const CertificateFiles& pair : files) {
    PROV_ASSIGN_OR_RETURN(openssl::Context context, ContextOf(pair));
    contexts->list.push_back(std::move(context));
  }
  return contexts;
}

class FileTlsServer final : public TlsServer {
 public:
  FileTlsServer(std::vector<CertificateFiles> files, std::shared_ptr<const Contexts> contexts)
      : files_(std::move(files)) {
    Take(std::move(contexts));
  }

  absl::StatusOr<openssl::Ssl> Begin() const override {
    openssl::Ssl ssl(SSL_new(Current()->list.front().get()));
    if (!ssl) return openssl::Error("SSL_new");
    SSL_set_accept_state(ssl.get());
    return ssl;
  }

  absl::StatusOr<bool> Refresh() override {
    if (VersionsOf(files_) == Current()->versions) return false;
    PROV_ASSIGN_OR_RETURN(auto contexts, ReadAll(files_));
    Take(std::move(contexts));
    return true;
  }

 private:
  std::shared_ptr<const Contexts> Current() const {
    const std::lock_guard lock(mutex_);
    return contexts_;
  }

  void Take(std::shared_ptr<const Contexts> contexts) {
    for (const openssl::Context& context : contexts->list) {
      SSL_CTX_set_tlsext_servername_callback(context.get(), &FileTlsServer::ChooseByName);
      SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    }
    const std::lock_guard lock(mutex_);
    contexts_ = std::move(contexts);
  }

  // An unknown name is no reason to refuse: who delivers mail rarely checks it.
  static int ChooseByName(SSL* ssl, int*, void* self) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
    const auto contexts = static_cast<const FileTlsServer*>(self)->Current();
    for (const openssl::Context& context : contexts->list) {
      if (X509_check_host(SSL_CTX_get0_certificate(context.get()), name, 0, 0, nullptr) != 1) continue;
      SSL_set_SSL_CTX(ssl, context.get());
      return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
  }

  const std::vector<CertificateFiles> files_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Contexts> contexts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TlsServer>> TlsServer::Load(std::vector<CertificateFiles> files) {
  if (files.empty() || files.size() > kMostCertificates) {
    return absl::InvalidArgumentError(fmt::format("1 to {} certificates are needed", kMostCertificates));
  }
  PROV_ASSIGN_OR_RETURN(auto contexts, ReadAll(files));
  return std::make_unique<FileTlsServer>(std::move(files), std::move(contexts));
}

}  // namespace prov::net
