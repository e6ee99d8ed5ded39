// Certificates of our CA in real gRPC handshakes.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "common/file.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "prov/v1/operations.grpc.pb.h"
#include "server/enrol/authority.h"

namespace prov::enrol {
namespace {

// Tells the caller who it is.
class Mirror final : public v1::Operations::Service {
  grpc::Status WhoAmI(grpc::ServerContext* context, const v1::WhoAmIRequest*,
                      v1::WhoAmIResponse* answer) override {
    const auto identity = IdentityOf(*context->auth_context());
    if (!identity.ok()) return ToGrpcStatus(identity.status());
    answer->set_role(identity->role);
    answer->set_caller(identity->name);
    return grpc::Status::OK;
  }
};

class TrustTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/trust.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    for (const char* ca : {"ours", "stranger"}) ASSERT_TRUE(Authority::Create(directory_ + "/" + ca).ok());
  }
  void TearDown() override {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(directory_);
  }

  // A certificate by `ca`; its owner trusts "ours".
  TlsFiles Certificate(const std::string& ca, const Authority::Subject& subject) {
    const std::string path = directory_ + "/" + std::to_string(++issued_);
    const auto authority = Authority::Load(directory_ + "/" + ca);
    EXPECT_TRUE(authority.ok()) << authority.status();
    const auto issued = authority->Issue(subject);
    EXPECT_TRUE(issued.ok()) << issued.status();
    EXPECT_TRUE(ReplaceFile(path + ".pem", issued->certificate_pem, 0644).ok());
    EXPECT_TRUE(ReplaceFile(path + ".key", issued->key_pem, 0600).ok());
    return {directory_ + "/ours/ca.pem", path + ".pem", path + ".key"};
  }

  void Serve(const TlsFiles& files) {
    const auto credentials = ServerTls(files);
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", *credentials, &port_);
    builder.RegisterService(&mirror_);
    server_ = builder.BuildAndStart();
    ASSERT_TRUE(server_);
  }
  void Serve() {
    Serve(Certificate(
        "ours", {.identity = "prov://provd/a", .dns_names = {"localhost"}, .ip_addresses = {"127.0.0.1"}}));
  }

  grpc::Status Ask(const std::shared_ptr<grpc::ChannelCredentials>& credentials, v1::WhoAmIResponse* answer,
                   const std::string& host = "127.0.0.1") {
    const auto stub =
        v1::Operations::NewStub(grpc::CreateChannel(host + ":" + std::to_string(port_), credentials));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return stub->WhoAmI(&context, {}, answer);
  }
  grpc::Status Ask(const TlsFiles& files, v1::WhoAmIResponse* answer, const std::string& host = "127.0.0.1") {
    const auto credentials = ClientTls(files);
    EXPECT_TRUE(credentials.ok()) << credentials.status();
    return Ask(*credentials, answer, host);
  }

  std::string directory_;
  Mirror mirror_;
  std::unique_ptr<grpc::Server> server_;
  v1::WhoAmIResponse answer_;
  int port_ = 0;
  int issued_ = 0;
};

TEST_F(TrustTest, ServerLearnsTheCallersIdentity) {
  Serve();
  const grpc::Status status = Ask(Certificate("ours", {.identity = "prov://helpdesk/mary"}), &answer_);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer_.role(), "helpdesk");
  EXPECT_EQ(answer_.caller(), "mary");
}

TEST_F(TrustTest, CallerOfAnotherAuthorityIsRefused) {
  Serve();
  const grpc::Status status = Ask(Certificate("stranger", {.identity = "prov://operator/admin"}), &answer_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

TEST_F(TrustTest, CallerWithoutCertificateIsRefused) {
  Serve();
  const auto ca = ReadFile(directory_ + "/ours/ca.pem", 1 << 16);
  ASSERT_TRUE(ca.ok());
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = *ca;
  const grpc::Status status = Ask(grpc::SslCredentials(options), &answer_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

TEST_F(TrustTest, ServerOfAnotherAuthorityIsRefused) {
  Serve(Certificate("stranger", {.identity = "prov://provd/a", .ip_addresses = {"127.0.0.1"}}));
  const grpc::Status status = Ask(Certificate("ours", {.identity = "prov://operator/admin"}), &answer_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

// A stolen agent certificate must not make a false provd.
TEST_F(TrustTest, CertificateWithoutServerNamesCannotServe) {
  Serve(Certificate("ours", {.identity = "prov://agent/store1"}));
  const grpc::Status status = Ask(Certificate("ours", {.identity = "prov://operator/admin"}), &answer_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

TEST_F(TrustTest, ServerUnderAnotherNameIsRefused) {
  Serve(Certificate("ours", {.identity = "prov://provd/a", .dns_names = {"provd.example.net"}}));
  const grpc::Status status = Ask(Certificate("ours", {.identity = "prov://operator/admin"}), &answer_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

}  // namespace
}  // namespace prov::enrol
