// A provd that does what a test says, for tests of agents: a real gRPC server with mutual TLS.
#pragma once

#include <fmt/format.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agents/state/test_records.h"
#include "common/grpc_tls.h"
#include "prov/v1/agent_sync.grpc.pb.h"

namespace prov::sync {

using ServerStream = grpc::ServerReaderWriter<v1::SyncResponse, v1::SyncRequest>;

// Calls one function for each stream, the last one for all that follow.
class ScriptedProvd final : public v1::AgentSync::Service {
 public:
  using Script = std::function<grpc::Status(ServerStream&, const v1::Hello&)>;

  ScriptedProvd(const TlsFiles& tls, std::vector<Script> scripts) : scripts_(std::move(scripts)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ServerTls(tls).value(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedProvd() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Sync(grpc::ServerContext* context, ServerStream* stream) override {
    v1::SyncRequest request;
    if (!stream->Read(&request) || !request.has_hello()) return {grpc::INVALID_ARGUMENT, "no hello"};
    Script script;
    {
      const std::lock_guard lock(mutex_);
      hellos.push_back(request.hello());
      identities.push_back(IdentityOf(*context->auth_context()).value().name);
      script = scripts_[std::min(hellos.size(), scripts_.size()) - 1];
    }
    return script(*stream, request.hello());
  }

  size_t Streams() {
    const std::lock_guard lock(mutex_);
    return hellos.size();
  }
  v1::Hello HelloOf(size_t stream) {
    const std::lock_guard lock(mutex_);
    return hellos.at(stream);
  }
  std::string address() const { return fmt::format("127.0.0.1:{}", port_); }

  std::vector<v1::Hello> hellos;
  std::vector<std::string> identities;

 private:
  std::mutex mutex_;
  const std::vector<Script> scripts_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

inline void Send(ServerStream& stream, v1::Batch batch, uint64_t nonce) {
  v1::SyncResponse message;
  *message.mutable_batch() = std::move(batch);
  message.mutable_batch()->set_nonce(nonce);
  message.mutable_batch()->set_head_revision(message.batch().to_revision());
  stream.Write(message);
}
inline void SendSnapshot(ServerStream& stream, const std::vector<v1::Record>& records, uint64_t revision) {
  v1::SyncResponse begin, end;
  begin.mutable_snapshot_begin()->set_revision(revision);
  stream.Write(begin);
  Send(stream, state::BatchOf(0, records), 1);
  end.mutable_snapshot_end()->set_revision(revision);
  end.mutable_snapshot_end()->set_nonce(2);
  stream.Write(end);
}

// Reads until a progress fulfils the condition; false when the stream ends before.
inline bool ReadUntil(ServerStream& stream, const std::function<bool(const v1::Progress&)>& condition) {
  v1::SyncRequest request;
  while (stream.Read(&request)) {
    if (condition(request.progress())) return true;
  }
  return false;
}
inline void ReadToTheEnd(ServerStream& stream) {
  ReadUntil(stream, [](const v1::Progress&) { return false; });
}

}  // namespace prov::sync
