#include "server/api/stream_fixture.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <pqxx/pqxx>
#include <thread>

#include "common/clock.h"
#include "common/grpc_tls.h"
#include "server/enrol/authority.h"
#include "server/feed/view.h"
#include "server/store/domain_repository.h"
#include "server/store/fleet_repository.h"
#include "server/store/migrations.h"
#include "server/store/subscriber_repository.h"
#include "tests/fixtures/postgres.h"

namespace prov::api {
namespace {

std::unique_ptr<testing::Postgres> postgres;
std::string tls_directory;

TlsFiles FilesOf(const std::string& directory, const std::string& identity) {
  std::string name = identity;
  std::replace(name.begin(), name.end(), '/', '-');
  return {directory + "/ca/ca.pem", fmt::format("{}/{}.pem", directory, name),
          fmt::format("{}/{}.key", directory, name)};
}

void IssueCertificate(const std::string& identity) {
  const auto authority = enrol::Authority::Load(tls_directory + "/ca");
  ASSERT_TRUE(authority.ok()) << authority.status();
  enrol::Authority::Subject subject{.identity = "prov://" + identity};
  if (identity.starts_with("provd/")) subject.ip_addresses = {"127.0.0.1"};
  const auto issued = authority->Issue(subject);
  ASSERT_TRUE(issued.ok()) << issued.status();
  const TlsFiles files = FilesOf(tls_directory, identity);
  std::ofstream(files.certificate) << issued->certificate_pem;
  std::ofstream(files.key) << issued->key_pem;
}

}  // namespace

StreamServer::StreamServer(const std::string& conninfo, const std::string& tls_directory)
    : pool(conninfo, 8),
      watch(conninfo),
      convergence(SystemClock()),
      authoriser([this](const Caller&, std::string_view, const absl::Status&) { ++refused; }),
      operations({.convergence = &convergence,
                  .fleet = &fleet,
                  .snapshots = &snapshots,
                  .watch = &watch,
                  .workers = &workers,
                  .authoriser = &authoriser,
                  .clock = &SystemClock(),
                  .version = "test"}),
      agent_sync({.feed = &feed,
                  .convergence = &convergence,
                  .fleet = &fleet,
                  .watch = &watch,
                  .progress = &progress,
                  .claims = &claims,
                  .workers = &workers,
                  .authoriser = &authoriser,
                  .clock = &SystemClock()}) {
  const auto credentials = ServerTls(FilesOf(tls_directory, "provd/a"));
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", *credentials, &port_);
  builder.RegisterService(operations.service());
  builder.RegisterService(agent_sync.service());
  server_ = builder.BuildAndStart();
  EXPECT_NE(server_, nullptr);
}

StreamServer::~StreamServer() { Stop(); }

void StreamServer::Stop() {
  if (server_ == nullptr) return;
  operations.ShutDown();
  agent_sync.ShutDown();
  server_->Shutdown();
  workers.Stop();
  watch.Stop();
  server_.reset();
}

std::string StreamServer::address() const { return fmt::format("127.0.0.1:{}", port_); }

TestAgent::TestAgent(const std::shared_ptr<grpc::Channel>& channel, const std::string& instance)
    : stub_(v1::AgentSync::NewStub(channel)) {
  if (!instance.empty()) context_.AddMetadata("prov-agent-instance", instance);
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  stream_ = stub_->Sync(&context_);
}

void TestAgent::Hello(v1::Role role, uint64_t cursor, uint64_t applied,
                      const std::map<std::string, std::string>& endpoints) {
  v1::SyncRequest request;
  request.mutable_hello()->set_role(role);
  request.mutable_hello()->set_cursor_revision(cursor);
  request.mutable_hello()->set_applied_revision(applied);
  request.mutable_hello()->set_agent_version("test");
  request.mutable_hello()->mutable_endpoints()->insert(endpoints.begin(), endpoints.end());
  revision = cursor;
  Send(request);
}

void TestAgent::Progress(uint64_t nonce, uint64_t received, uint64_t applied) {
  v1::SyncRequest request;
  request.mutable_progress()->set_nonce(nonce);
  request.mutable_progress()->set_received_revision(received);
  request.mutable_progress()->set_applied_revision(applied);
  Send(request);
}

std::optional<v1::SyncResponse> TestAgent::Read() {
  v1::SyncResponse message;
  do {
    if (!stream_->Read(&message)) return std::nullopt;
  } while (message.has_heartbeat());
  return message;
}

void TestAgent::Take(const v1::SyncResponse& message) {
  if (message.has_snapshot_begin()) {
    ++snapshots;
    records.clear();
  }
  if (message.has_snapshot_end()) {
    nonce = message.snapshot_end().nonce();
    revision = message.snapshot_end().revision();
  }
  if (!message.has_batch()) return;
  nonce = message.batch().nonce();
  for (const v1::Record& record : message.batch().records()) records[record.key()] = record;
  for (const std::string& key : message.batch().removed_keys()) records.erase(key);
  if (message.batch().to_revision() != 0) revision = message.batch().to_revision();
}

void TestAgent::Follow(uint64_t until) {
  // A snapshot that is under way must end, whatever revision the copy claims.
  bool in_snapshot = false;
  while (in_snapshot || revision < until) {
    const auto message = Read();
    ASSERT_TRUE(message.has_value()) << End().error_message();
    Take(*message);
    if (message->has_snapshot_begin()) in_snapshot = true;
    if (message->has_snapshot_end()) in_snapshot = false;
    if (!message->has_snapshot_begin()) Progress(nonce, revision, revision);
  }
}

grpc::Status TestAgent::End() {
  if (ended_.has_value()) return *ended_;
  v1::SyncResponse message;
  while (stream_->Read(&message)) {
  }
  ended_ = stream_->Finish();
  return *ended_;
}

void StreamTest::SetUpTestSuite() {
  auto started = testing::Postgres::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  postgres = *std::move(started);
  char path[] = "/tmp/streams.XXXXXX";
  ASSERT_NE(mkdtemp(path), nullptr);
  tls_directory = path;
  const absl::Status created = enrol::Authority::Create(tls_directory + "/ca");
  ASSERT_TRUE(created.ok()) << created;
  IssueCertificate("provd/a");
}

void StreamTest::TearDownTestSuite() {
  postgres.reset();
  std::filesystem::remove_all(tls_directory);
}

void StreamTest::Execute(const std::string& sql) {
  pqxx::connection connection(postgres->connection());
  pqxx::nontransaction(connection).exec(sql);
}

void StreamTest::SetUp() {
  Execute("DROP SCHEMA IF EXISTS prov, public CASCADE; CREATE SCHEMA public");
  const absl::Status migrated = store::Migrate(postgres->connection());
  ASSERT_TRUE(migrated.ok()) << migrated;
  server_ = std::make_unique<StreamServer>(postgres->connection(), tls_directory);
  AddPool("main", model::Role::kStore);
  AddPool("mx", model::Role::kRelay);
  AddHost("store1", {"main"});
  AddHost("mx1", {"mx"});
  Write([](store::WriteTransaction& write) {
    model::Domain domain;
    domain.name = "example.net";
    return store::DomainRepository::Insert(write, domain).status();
  });
}

void StreamTest::StopDatabase() { postgres->Stop(); }

void StreamTest::StartDatabase() {
  const absl::Status started = postgres->StartAgain();
  ASSERT_TRUE(started.ok()) << started;
}

void StreamTest::TearDown() { server_.reset(); }

uint64_t StreamTest::Write(const std::function<absl::Status(store::WriteTransaction&)>& body) {
  const auto result =
      server_->writes.Run({.caller = "operator/test", .method = "/test"},
                          [&](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
                            if (absl::Status status = body(write); !status.ok()) return status;
                            return store::WriteResult{.audit = {{"test", "", ""}}};
                          });
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->revision : 0;
}

uint64_t StreamTest::AddPool(const std::string& id, model::Role role) {
  return Write([&](store::WriteTransaction& write) {
    model::Pool pool;
    pool.id = id;
    pool.role = role;
    return store::FleetRepository::InsertPool(write, pool).status();
  });
}

uint64_t StreamTest::AddHost(const std::string& id, const std::vector<std::string>& pools) {
  return Write([&](store::WriteTransaction& write) {
    model::Host host;
    host.id = id;
    host.pools = pools;
    return store::FleetRepository::InsertHost(write, host).status();
  });
}

uint64_t StreamTest::SetHostState(const std::string& id, model::HostState state) {
  return Write([&](store::WriteTransaction& write) {
    absl::StatusOr<model::Host> host = store::FleetRepository::FindHost(write, id);
    if (!host.ok()) return host.status();
    host->state = state;
    return store::FleetRepository::SaveHost(write, *host).status();
  });
}

uint64_t StreamTest::AddSubscribers(int from, int to) {
  return Write([&](store::WriteTransaction& write) {
    for (int i = from; i < to; ++i) {
      model::Subscriber subscriber;
      subscriber.login = fmt::format("u{}@example.net", i);
      subscriber.addresses = {subscriber.login};
      subscriber.store_pool = "main";
      const auto inserted = store::SubscriberRepository::Insert(write, subscriber);
      if (!inserted.ok()) return inserted.status();
    }
    return absl::OkStatus();
  });
}

std::shared_ptr<grpc::Channel> StreamTest::Dial(const std::string& identity,
                                                const grpc::ChannelArguments& arguments) {
  const TlsFiles files = FilesOf(tls_directory, identity);
  if (!std::filesystem::exists(files.certificate)) IssueCertificate(identity);
  const auto credentials = ClientTls(files);
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  grpc::ChannelArguments own = arguments;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server_->address(), *credentials, own);
}

std::chrono::system_clock::time_point StreamTest::Soon() {
  return std::chrono::system_clock::now() + std::chrono::minutes(1);
}

void StreamTest::Await(const char* what, const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!holds()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << what;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace prov::api
