#include "cli/scripted_provd.h"

#include <fmt/format.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>

#include "common/file.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "server/enrol/authority.h"

namespace prov::cli {
namespace {

// A test that cannot be set up has nothing to go on with.
void Must(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::abort();
}

absl::Status NextFailure(Script& script) {
  if (script.failures.empty()) return absl::OkStatus();
  const absl::Status failure = script.failures.front();
  script.failures.pop_front();
  return failure;
}

class ScriptedSubscribers final : public v1::Subscribers::Service {
 public:
  explicit ScriptedSubscribers(Script& script) : script_(script) {}

  grpc::Status CreateSubscriber(grpc::ServerContext*, const v1::CreateSubscriberRequest* request,
                                v1::Subscriber* answer) override {
    const std::lock_guard lock(script_.mutex);
    script_.create_requests.push_back(*request);
    *answer = script_.subscriber;
    answer->set_login(request->subscriber().login());
    return ToGrpcStatus(NextFailure(script_));
  }

  grpc::Status SetPassword(grpc::ServerContext*, const v1::SetPasswordRequest* request,
                           v1::Subscriber* answer) override {
    const std::lock_guard lock(script_.mutex);
    script_.password_requests.push_back(*request);
    *answer = script_.subscriber;
    return ToGrpcStatus(NextFailure(script_));
  }

  grpc::Status GetSubscriber(grpc::ServerContext*, const v1::GetSubscriberRequest*,
                             v1::Subscriber* answer) override {
    const std::lock_guard lock(script_.mutex);
    ++script_.get_requests;
    *answer = script_.subscriber;
    return ToGrpcStatus(NextFailure(script_));
  }

  grpc::Status ListSubscribers(grpc::ServerContext*, const v1::ListSubscribersRequest* request,
                               v1::ListSubscribersResponse* answer) override {
    const std::lock_guard lock(script_.mutex);
    script_.list_requests.push_back(*request);
    const int first = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    const int end = std::min(script_.listed_total, first + request->page_size());
    for (int i = first; i < end; ++i) answer->add_subscribers()->set_login(fmt::format("{}@example.net", i));
    if (end < script_.listed_total) answer->set_next_page_token(std::to_string(end));
    return ToGrpcStatus(NextFailure(script_));
  }

 private:
  Script& script_;
};

class ScriptedOperations final : public v1::Operations::Service {
 public:
  explicit ScriptedOperations(Script& script) : script_(script) {}

  grpc::Status WaitForRevision(grpc::ServerContext* context, const v1::WaitForRevisionRequest*,
                               grpc::ServerWriter<v1::RevisionProgress>* writer) override {
    std::unique_lock lock(script_.mutex);
    ++script_.wait_requests;
    if (const absl::Status failure = NextFailure(script_); !failure.ok()) return ToGrpcStatus(failure);
    for (const v1::RevisionProgress& progress : script_.progress) writer->Write(progress);
    // The synchronous API tells of a cancelled call only when asked.
    while (!script_.converges && !context->IsCancelled())
      never_.wait_for(lock, std::chrono::milliseconds(10));
    return grpc::Status::OK;
  }

 private:
  Script& script_;
  std::condition_variable never_;
};

}  // namespace

ScriptedProvd::ScriptedProvd(const std::string& directory, Script& script)
    : config_(directory + "/admin.toml"),
      subscribers_(std::make_unique<ScriptedSubscribers>(script)),
      operations_(std::make_unique<ScriptedOperations>(script)) {
  Must(enrol::Authority::Create(directory + "/ca"));
  const auto authority = enrol::Authority::Load(directory + "/ca");
  Must(authority.status());
  const auto issued = authority->Issue({.identity = "prov://provd/a", .ip_addresses = {"127.0.0.1"}});
  Must(issued.status());
  const TlsFiles files = {directory + "/ca/ca.pem", directory + "/provd.pem", directory + "/provd.key"};
  Must(ReplaceFile(files.certificate, issued->certificate_pem, 0644));
  Must(ReplaceFile(files.key, issued->key_pem, 0600));
  const auto credentials = ServerTls(files);
  Must(credentials.status());
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", *credentials, &port);
  builder.RegisterService(subscribers_.get());
  builder.RegisterService(operations_.get());
  server_ = builder.BuildAndStart();
  Must(server_ ? absl::OkStatus() : absl::UnavailableError("cannot listen"));
  address_ = fmt::format("127.0.0.1:{}", port);
  WriteCaller(directory, directory + "/ca", "admin", "prov://operator/admin", address_);
}

ScriptedProvd::~ScriptedProvd() { server_->Shutdown(std::chrono::system_clock::now()); }

std::string WriteCaller(const std::string& directory, const std::string& ca, const std::string& name,
                        const std::string& identity, const std::string& server) {
  if (!enrol::Authority::Exists(ca)) Must(enrol::Authority::Create(ca));
  const auto authority = enrol::Authority::Load(ca);
  Must(authority.status());
  const auto issued = authority->Issue({.identity = identity});
  Must(issued.status());
  Must(ReplaceFile(fmt::format("{}/{}.pem", directory, name), issued->certificate_pem, 0644));
  Must(ReplaceFile(fmt::format("{}/{}.key", directory, name), issued->key_pem, 0600));
  const std::string path = fmt::format("{}/{}.toml", directory, name);
  Must(ReplaceFile(
      path,
      fmt::format("server = \"{}\"\nca = \"ca/ca.pem\"\ncertificate = \"{}.pem\"\nkey = \"{}.key\"\n", server,
                  name, name),
      0644));
  return path;
}

}  // namespace prov::cli
