// A relay and a store on an event loop of their own, with a copy of their views: all real, on loopback.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <asio/post.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agents/config.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/loops.h"
#include "agents/mail/smtp/mail_server.h"
#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"
#include "common/clock.h"

namespace prov::smtp {

// Polls; false when it did not come true in a minute.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class MailHost {
 public:
  MailHost() : MailHost("") {}
  // State, queue and mail in `directory`, which lives on; empty: in one of its own.
  explicit MailHost(const std::string& directory) : path_(directory.empty() ? own_.path() : directory) {
    signal(SIGPIPE, SIG_IGN);  // as the engine does
    config.host = config.engine.hostname = "host.example.net";
    config.store.maildir_root = path_ + "/mail";
    config.engine.smtp.listen = {"127.0.0.1:0"};
    config.engine.smtp.max_message_octets = 1 << 20;
    config.engine.smtp.resolvers = {"127.0.0.1:1"};  // nobody: mail for other domains waits
    config.engine.lmtp.listen = {"127.0.0.1:0"};
    config.engine.queue = {path_ + "/queue", std::chrono::milliseconds(50), std::chrono::milliseconds(400),
                           std::chrono::hours(1)};
    std::filesystem::create_directory(config.store.maildir_root);
    std::filesystem::create_directory(path_ + "/state");
    writer_ = *state::StateWriter::Open(path_ + "/state");
    state_ = *state::StateReader::Open(path_ + "/state");
    for (const v1::Role role : {v1::RELAY, v1::STORE}) {
      EXPECT_TRUE(writer_->BeginSnapshot(role).ok());
      EXPECT_TRUE(writer_->EndSnapshot(role, 1).ok());
    }
    Confirm(std::chrono::system_clock::now());
    thread_ = std::thread([this] { loops_.Run(); });
  }
  ~MailHost() {
    OnLoop([this] {
      for (const auto& server : servers_) {
        server->Stop();
        server->CloseAll();
      }
    });
    AwaitRest();
    loops_.Stop();
    thread_.join();
    pool_.Join();
    servers_.clear();
  }

  // Records of both roles, for example.net and subscriber `id`: user1@example.net.
  void AddDomain(const std::string& name, const std::string& alias_of = "",
                 const std::string& catch_all = "") {
    v1::Record record;
    record.set_key("domains/" + name);
    record.set_revision(1);
    record.mutable_domain()->set_domain(name);
    record.mutable_domain()->set_alias_of(alias_of);
    record.mutable_domain()->set_catch_all(catch_all);
    Set(v1::RELAY, record);
    Set(v1::STORE, record);
  }
  void AddSubscriber(int id, v1::Disposition receive = v1::ALLOW,
                     const std::vector<std::string>& forwards = {}, bool keep_copy = false) {
    AddMailbox(id, receive, forwards, keep_copy);
    v1::Record route = state::RouteRecord(id, 1);
    route.mutable_mail_route()->set_receive(receive);
    Set(v1::RELAY, route);
  }
  void AddMailbox(int id, v1::Disposition receive = v1::ALLOW, const std::vector<std::string>& forwards = {},
                  bool keep_copy = false) {
    v1::Record record = state::MailboxRecord(id, 1);
    record.mutable_mailbox()->set_receive(receive);
    for (const std::string& target : forwards) record.mutable_mailbox()->add_forward_targets(target);
    record.mutable_mailbox()->set_keep_copy(keep_copy);
    Set(v1::STORE, record);
  }
  void SetQuota(int id, int64_t octets) {
    v1::Record record = state::MailboxRecord(id, 2);
    record.mutable_mailbox()->set_receive(v1::ALLOW);
    record.mutable_mailbox()->set_quota_bytes(octets);
    Set(v1::STORE, record);
  }
  void AddPool(const std::vector<uint16_t>& lmtp_ports) {
    v1::Record record;
    record.set_key("pools/main");
    record.set_revision(1);
    record.mutable_pool()->set_pool("main");
    record.mutable_pool()->set_role(v1::STORE);
    for (const uint16_t port : lmtp_ports) {
      v1::PoolMembers::Member* member = record.mutable_pool()->add_members();
      member->set_host(fmt::format("store{}", port));
      member->set_weight(1);
      (*member->mutable_endpoints())["lmtp"] = fmt::format("127.0.0.1:{}", port);
    }
    Set(v1::RELAY, record);
  }
  void Set(v1::Role role, const v1::Record& record) {
    EXPECT_TRUE(writer_->ApplyBatch(role, state::BatchOf(1, {record})).ok());
  }
  void Remove(v1::Role role, const std::string& key) {
    EXPECT_TRUE(writer_->ApplyBatch(role, state::BatchOf(1, {}, {key})).ok());
  }
  // When provd was last heard.
  void Confirm(std::chrono::system_clock::time_point when) {
    for (const v1::Role role : {v1::RELAY, v1::STORE}) EXPECT_TRUE(writer_->ConfirmHead(role, 1, when).ok());
  }

  // The port it listens on.
  uint16_t StartRelay() { return Start(smtp::StartRelay); }
  uint16_t StartStore() { return Start(smtp::StartStore); }
  // As the program does when it is told to end; sessions in progress must end by themselves.
  void Stop() {
    OnLoop([this] {
      for (const auto& server : servers_) server->Stop();
    });
    AwaitRest();
  }

  // Messages in new/ of a mailbox, as they lie there.
  std::vector<std::string> Mail(const std::string& mailbox_id) const {
    std::vector<std::string> messages;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(config.store.maildir_root, error)) {
      const std::filesystem::path folder = entry.path().parent_path();
      if (!entry.is_regular_file() || folder.filename() != "new") continue;
      if (folder.parent_path().filename() != mailbox_id) continue;
      std::ifstream file(entry.path());
      messages.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return messages;
  }
  // Files of the queue: "relay" or "forward"; "active", "dead".
  size_t Queued(const std::string& queue, const std::string& part = "active") const {
    std::error_code error;
    const std::filesystem::directory_iterator files(
        fmt::format("{}/{}/{}", config.engine.queue.directory, queue, part), error);
    return error ? 0 : static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  AgentConfig config;
  std::unique_ptr<net::TlsServer> tls;  // none unless a test sets it

 private:
  using Starter = decltype(smtp::StartRelay);

  uint16_t Start(Starter& start) {
    uint16_t port = 0;
    OnLoop([&] {
      auto server = start(loops_.loops(), config, *state_, pool_, SystemClock(), tls.get(), nullptr);
      ASSERT_TRUE(server.ok()) << server.status();
      port = (*server)->ports().front();
      servers_.push_back(*std::move(server));
    });
    return port;
  }

  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    asio::post(loops_.loops().first(), [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  void AwaitRest() {
    EXPECT_TRUE(Eventually([this] {
      size_t busy = 0;
      OnLoop([&] {
        for (const auto& server : servers_) busy += server->busy();
      });
      return busy == 0;
    }));
  }

  state::TestDirectory own_;
  const std::string path_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> state_;
  net::LoopThreads loops_{2};
  std::thread thread_;
  net::BlockingPool pool_{4};
  std::vector<std::unique_ptr<MailServer>> servers_;
};

}  // namespace prov::smtp
