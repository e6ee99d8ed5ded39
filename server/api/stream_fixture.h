// For tests: the streaming services on a real PostgreSQL, behind a real gRPC server with mutual TLS.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/support/channel_arguments.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "prov/v1/agent_sync.grpc.pb.h"
#include "prov/v1/operations.grpc.pb.h"
#include "server/api/agent_sync_service.h"
#include "server/api/authorise.h"
#include "server/api/operations_service.h"
#include "server/api/workers.h"
#include "server/feed/convergence.h"
#include "server/feed/feed.h"
#include "server/store/host_progress.h"
#include "server/store/read_snapshot_postgres.h"
#include "server/store/revision_watch_postgres.h"
#include "server/store/write_queue.h"

namespace prov::api {

// Counts what is read.
class CountingSource final : public store::SnapshotSource {
 public:
  explicit CountingSource(store::SnapshotSource& inner) : inner_(inner) {}
  absl::StatusOr<std::unique_ptr<store::ReadSnapshot>> OpenSnapshot() override {
    ++opened;
    return inner_.OpenSnapshot();
  }
  std::atomic<int> opened{0};

 private:
  store::SnapshotSource& inner_;
};

// All of provd that streams need, wired as provd does.
class StreamServer {
 public:
  StreamServer(const std::string& conninfo, const std::string& tls_directory);
  ~StreamServer();
  void Stop();

  std::string address() const;

  store::ConnectionPool pool;
  store::WriteQueue writes{pool};
  store::PostgresSnapshotSource postgres_snapshots{pool};
  CountingSource snapshots{postgres_snapshots};
  store::PostgresRevisionWatch watch;
  store::HostProgressRepository progress{pool, writes};
  store::AgentClaims claims{pool};
  feed::Feed feed{snapshots};
  feed::Convergence convergence;
  feed::FleetWatch fleet{feed, convergence, progress};
  std::atomic<int> refused{0};
  Authoriser authoriser;
  Workers workers{4};
  OperationsService operations;
  AgentSyncService agent_sync;

 private:
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// One stream of an agent, as an agent keeps it.
class TestAgent {
 public:
  // `instance`: which of several agents with one certificate it is; empty: it does not say.
  explicit TestAgent(const std::shared_ptr<grpc::Channel>& channel, const std::string& instance = "");

  void Hello(v1::Role role, uint64_t cursor, uint64_t applied = 0,
             const std::map<std::string, std::string>& endpoints = {});
  void Send(const v1::SyncRequest& request) { stream_->Write(request); }
  void Progress(uint64_t nonce, uint64_t received, uint64_t applied);
  // Nothing: the stream has ended. Heartbeats are left out.
  std::optional<v1::SyncResponse> Read();
  // Reads, acknowledges and applies until the copy has reached the revision.
  void Follow(uint64_t revision);
  // Reads the rest.
  grpc::Status End();
  void Cancel() { context_.TryCancel(); }

  std::map<std::string, v1::Record> records;
  uint64_t revision = 0;
  uint64_t nonce = 0;
  int snapshots = 0;

 private:
  void Take(const v1::SyncResponse& message);

  std::unique_ptr<v1::AgentSync::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SyncRequest, v1::SyncResponse>> stream_;
  std::optional<grpc::Status> ended_;
};

// An empty database with pools main (store) and mx (relay), hosts store1 and mx1, and example.net.
class StreamTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  // Returns the revision.
  uint64_t Write(const std::function<absl::Status(store::WriteTransaction&)>& body);
  uint64_t AddPool(const std::string& id, model::Role role);
  uint64_t AddHost(const std::string& id, const std::vector<std::string>& pools);
  uint64_t SetHostState(const std::string& id, model::HostState state);
  uint64_t AddSubscribers(int from, int to);

  // With a certificate for "agent/mx1", "operator/admin" and so on.
  std::shared_ptr<grpc::Channel> Dial(const std::string& identity,
                                      const grpc::ChannelArguments& arguments = {});
  // SQL, past provd.
  static void Execute(const std::string& sql);
  static void StopDatabase();
  static void StartDatabase();
  // A deadline that is there so that a test ends, not that it is met.
  static std::chrono::system_clock::time_point Soon();
  // Polls until it holds, or the test fails.
  static void Await(const char* what, const std::function<bool()>& holds);

  std::unique_ptr<StreamServer> server_;
};

}  // namespace prov::api
