// Who may ask a host what its engine knows, and what comes of it: gRPC, Unix socket and queue as they are.
#include "agents/control/control_service.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstring>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "agents/control/answer_translation.h"
#include "agents/mail/control/control_server.h"
#include "agents/mail/queue/mail_event.h"
#include "agents/mail/queue/testing/test_spool.h"
#include "agents/state/test_records.h"
#include "common/file.h"
#include "common/grpc_port.h"
#include "common/grpc_tls.h"
#include "server/enrol/authority.h"

namespace prov::control {
namespace {

using queue::Runner;

class OneHop final : public route::NextHops {
 public:
  route::HopDecision Find(std::string_view address) const override {
    return route::NextHop{"hop", {"hop:25"}, true, false, std::string(address)};
  }
};

class NobodyThere final : public queue::Transport {
 public:
  asio::awaitable<std::vector<queue::Outcome>> Deliver(const queue::DeliveryRequest& request) override {
    const queue::Outcome later{queue::State::kPending, "451 4.3.0 later"};
    co_return std::vector<queue::Outcome>(request.addresses.size(), later);
  }
};

class ControlServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(enrol::Authority::Create(tls_.path() + "/ca").ok());
    trace_ = *queue::TraceLog::Start(directory_.path() + "/trace", std::chrono::hours(1), SystemClock());
    queue::RunnerOptions options;
    options.hostname = "mx.example.net";
    options.retry = {std::chrono::hours(1), std::chrono::hours(1), std::chrono::hours(100)};
    options.trace = trace_.get();
    runner_ = std::make_unique<Runner>(loop_.get_executor(), *spool_, pool_, hops_, transport_, options,
                                       SystemClock());
    ASSERT_TRUE(runner_->Start().ok());
    auto control =
        ControlServer::Start(loop_.get_executor(), Socket(), {{"relay", runner_.get()}}, *trace_, pool_);
    ASSERT_TRUE(control.ok()) << control.status();
    control_ = *std::move(control);
    thread_ = std::thread([this] { loop_.run(); });
    Open(EngineChannel(Socket(), std::nullopt));
  }
  void TearDown() override {
    port_.reset();
    OnLoop([this] {
      runner_->Stop();
      control_->Stop();
    });
    guard_.reset();
    loop_.stop();
    thread_.join();
    pool_.Join();
  }

  std::string Socket() const { return directory_.path() + "/control"; }

  void Open(std::optional<EngineChannel> engine) {
    port_.reset();
    GrpcPort::Options options;
    options.listen = "127.0.0.1:0";
    options.tls = Certificate("prov://agent/relay1");
    options.name = "control";
    auto port = GrpcPort::Open(options, std::make_unique<ControlService>(std::move(engine)));
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *std::move(port);
  }

  TlsFiles Certificate(const std::string& identity) {
    const std::string path = tls_.path() + "/" + std::to_string(++issued_);
    const auto issued = enrol::Authority::Load(tls_.path() + "/ca")
                            ->Issue({.identity = identity, .dns_names = {"localhost"}});
    EXPECT_TRUE(issued.ok()) << issued.status();
    EXPECT_TRUE(ReplaceFile(path + ".pem", issued->certificate_pem, 0644).ok());
    EXPECT_TRUE(ReplaceFile(path + ".key", issued->key_pem, 0600).ok());
    return {tls_.path() + "/ca/ca.pem", path + ".pem", path + ".key"};
  }

  std::unique_ptr<v1::HostControl::Stub> As(const std::string& identity) {
    const auto credentials = ClientTlsTo(Certificate(identity), {"agent", "relay1"});
    EXPECT_TRUE(credentials.ok());
    return v1::HostControl::NewStub(
        grpc::CreateChannel("localhost:" + std::to_string(port_->port()), *credentials));
  }

  grpc::Status List(v1::HostControl::Stub& stub, std::vector<v1::QueuedMessage>* messages,
                    v1::QueueSummary* summary = nullptr, int limit = 1000) {
    grpc::ClientContext context;
    v1::ListQueueRequest request;
    request.mutable_selection()->set_all(true);
    request.set_limit(limit);
    const auto stream = stub.ListQueue(&context, request);
    v1::ListQueuedMessagesResponse page;
    while (stream->Read(&page)) {
      messages->insert(messages->end(), page.messages().begin(), page.messages().end());
      if (summary != nullptr && page.has_summary()) *summary = page.summary();
    }
    return stream->Finish();
  }
  grpc::Status Change(v1::HostControl::Stub& stub, v1::ChangeQueueRequest::Action action,
                      v1::ChangeQueuedMessagesResponse* response) {
    grpc::ClientContext context;
    v1::ChangeQueueRequest request;
    request.set_action(action);
    request.mutable_selection()->set_all(true);
    request.set_caller("operator/mary");
    return stub.ChangeQueue(&context, request, response);
  }
  std::vector<v1::MailEvent> Trace(v1::HostControl::Stub& stub, const std::string& address) {
    grpc::ClientContext context;
    v1::ReadTraceRequest request;
    request.set_address(address);
    request.set_limit(10);
    const auto stream = stub.ReadTrace(&context, request);
    std::vector<v1::MailEvent> events;
    v1::ReadTraceResponse page;
    while (stream->Read(&page)) events.insert(events.end(), page.events().begin(), page.events().end());
    EXPECT_TRUE(stream->Finish().ok());
    return events;
  }

  void Add(const std::vector<std::string>& recipients) {
    queue::StoredMessage stored =
        queue::Store(*spool_, queue::TestEnvelope("a@b.c", recipients), "Subject: x\r\n\r\n");
    OnLoop([&] { runner_->Accept(std::move(stored)); });
  }
  template <typename Work>
  void OnLoop(Work work) {
    std::promise<void> done;
    asio::post(loop_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  state::TestDirectory tls_;
  queue::TestQueueDirectory directory_;
  int issued_ = 0;
  const OneHop hops_;
  NobodyThere transport_;
  std::unique_ptr<queue::Spool> spool_ = queue::OpenSpool(directory_.path() + "/relay");
  std::unique_ptr<queue::TraceLog> trace_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(loop_);
  net::BlockingPool pool_{2};
  std::unique_ptr<Runner> runner_;
  std::unique_ptr<ControlServer> control_;
  std::thread thread_;
  std::unique_ptr<GrpcPort> port_;
};

TEST_F(ControlServiceTest, OnlyProvdIsAnswered) {
  Add({"x@y.z"});
  for (const char* identity : {"prov://agent/relay1", "prov://agent/store1", "prov://operator/admin",
                               "prov://helpdesk/mary", "prov://auditor/eve"}) {
    const auto stub = As(identity);
    std::vector<v1::QueuedMessage> messages;
    v1::ChangeQueuedMessagesResponse changed;
    EXPECT_EQ(List(*stub, &messages).error_code(), grpc::StatusCode::PERMISSION_DENIED) << identity;
    EXPECT_EQ(Change(*stub, v1::ChangeQueueRequest::DROP, &changed).error_code(),
              grpc::StatusCode::PERMISSION_DENIED)
        << identity;
    EXPECT_TRUE(messages.empty());
  }
  std::vector<v1::QueuedMessage> messages;
  EXPECT_TRUE(List(*As("prov://provd/a"), &messages).ok());
  EXPECT_EQ(messages.size(), 1u);
}

TEST_F(ControlServiceTest, WhatWaitsIsShownAndChanged) {
  Add({"x@y.z", "x2@y.z"});
  Add({"v@w.z"});
  const auto stub = As("prov://provd/a");
  std::vector<v1::QueuedMessage> messages;
  v1::QueueSummary summary;
  ASSERT_TRUE(List(*stub, &messages, &summary).ok());
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].sender(), "a@b.c");
  EXPECT_EQ(messages[0].recipients_size() + messages[1].recipients_size(), 3);
  EXPECT_EQ(messages[0].queue(), "relay");
  EXPECT_EQ(summary.queued(), 2u);
  EXPECT_FALSE(summary.cut());
  messages.clear();
  ASSERT_TRUE(List(*stub, &messages, &summary, 1).ok());
  EXPECT_EQ(messages.size(), 1u);
  EXPECT_TRUE(summary.cut());
  v1::ChangeQueuedMessagesResponse changed;
  ASSERT_TRUE(Change(*stub, v1::ChangeQueueRequest::HOLD, &changed).ok());
  EXPECT_EQ(changed.changed(), 2u);
  ASSERT_TRUE(Change(*stub, v1::ChangeQueueRequest::DROP, &changed).ok());
  EXPECT_EQ(changed.changed(), 2u);
  std::vector<v1::QueuedMessage> left;
  ASSERT_TRUE(List(*stub, &left).ok());
  EXPECT_TRUE(left.empty());
  const auto events = Trace(*stub, "v@w.z");
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.back().event(), "mail_dropped");
  EXPECT_EQ(events.back().details().at("by"), "operator/mary");
}

TEST_F(ControlServiceTest, AHostWithoutAQueueAndOneWithoutAnEngineSaySo) {
  Open(std::nullopt);
  std::vector<v1::QueuedMessage> messages;
  EXPECT_EQ(List(*As("prov://provd/a"), &messages).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  Open(EngineChannel(directory_.path() + "/nobody", std::nullopt));
  const grpc::Status gone = List(*As("prov://provd/a"), &messages);
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_NE(gone.error_message().find("prov-engine"), std::string::npos) << gone.error_message();
  // Another user's socket is not spoken to.
  Open(EngineChannel(Socket(), 54321));
  EXPECT_EQ(List(*As("prov://provd/a"), &messages).error_code(), grpc::StatusCode::UNAVAILABLE);
}

// What may come from an engine that was taken over, each in place of an answer.
TEST_F(ControlServiceTest, AnEngineThatAnswersAnythingIsSurvived) {
  signal(SIGPIPE, SIG_IGN);  // it may be left in the midst of a word
  const std::string path = directory_.path() + "/odd";
  for (const std::string& answer :
       {std::string(), std::string("\n"), std::string("no JSON\n"), std::string("[]\n"),
        std::string("{\"message\":7}\n"),
        std::string("{\"message\":{\"id\":{},\"recipients\":{\"x\":1}}}\n{\"end\":[]}\n"),
        std::string(2 << 20, 'x'), std::string("{\"error\":7,\"code\":\"x\"}\n"),
        std::string("{\"error\":\"\\u0000\",\"code\":99}\n")}) {
    unlink(path.c_str());
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener, 1), 0);
    std::thread engine([&] {
      const FileDescriptor peer(accept(listener, nullptr, nullptr));
      char request[4096];
      (void)!read(peer.get(), request, sizeof request);
      (void)WriteAll(peer.get(), answer);
    });
    const nlohmann::json question = {{"do", "list"}};
    const EngineChannel channel(path, std::nullopt);
    const auto take = [](const nlohmann::json& line) {
      if (line.contains("message")) (void)QueuedMessageOf(line["message"]).SerializeAsString();
      return absl::OkStatus();
    };
    const auto end = channel.Ask({&question, take, nullptr});
    if (end.ok()) {
      EXPECT_EQ(NumberIn(*end, "queued"), 0u);
    }
    engine.join();
    close(listener);
  }
}

TEST(AnswerTranslation, TextThatIsNotUtf8AndTimesThatAreNoneAreMadeFit) {
  const nlohmann::json event = {{"time", uint64_t{1} << 62},
                                {"event", "mail_refused"},
                                {"trace", "id"},
                                {"reply",
                                 "a\xff\xfe"
                                 "b"},
                                {"recipients", {"x@y.z", 7}},
                                {"octets", "7"},
                                {"number", 7}};
  const v1::MailEvent proto = MailEventOf(event);
  EXPECT_EQ(proto.reply(), "a??b");
  EXPECT_EQ(proto.recipients_size(), 2);
  EXPECT_EQ(proto.details().at("octets"), "7");
  EXPECT_EQ(proto.details().count("number"), 0u);
  EXPECT_GT(proto.time().seconds(), 0);
}

}  // namespace
}  // namespace prov::control
