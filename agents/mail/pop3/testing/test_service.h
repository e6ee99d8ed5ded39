// A POP3 server, or two clones of one, and a proxy in front, on an event loop of their own: all real.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <asio/post.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agents/mail/auth/authenticator.h"
#include "agents/mail/auth/failure_delay.h"
#include "agents/mail/auth/testing/test_host.h"
#include "agents/mail/maildir/delivery.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/listener.h"
#include "agents/mail/net/loops.h"
#include "agents/mail/pop3/pop3_proxy.h"
#include "agents/mail/pop3/pop3_server.h"
#include "agents/mail/pop3/testing/pop3_client.h"

namespace prov::pop3 {

// Knows alice@example.net and bob@example.net, both with the password "right".
class TestService {
 public:
  // `kept` as of TestHost.
  explicit TestService(const std::string& kept = "") : host(kept) {
    host.SetMailbox("alice@example.net", 1);
    host.SetMailbox("bob@example.net", 1);
    host.SetPasswords({"alice@example.net:right:1", "bob@example.net:right:1"});
    StartAuthenticator();
  }
  ~TestService() {
    OnLoop([this] {
      for (auto& listener : listeners_) {
        listener->Stop();
        listener->CloseAll();
      }
    });
    WaitForNoSessions();
    OnLoop([this] { listeners_.clear(); });
    loops_.Stop();
    thread_.join();
    authenticator_.reset();
    pool_.Join();
  }

  uint16_t StartServer(SessionTimes times = {}, net::SessionTls tls = {}, PlanTerms terms = {},
                       net::AddressSet xclient = {}) {
    return Keep([&] {
      return StartPop3Server(loops_.loops(),
                             {.address = "127.0.0.1:0",
                              .hostname = "mail.example.net",
                              .maildir_root = host.MaildirRoot(),
                              .times = times,
                              .tls = tls,
                              .balancers = {},
                              .terms = terms,
                              .xclient = xclient},
                             *authenticator_, listings_, pool_);
    });
  }
  uint16_t StartProxy(SessionTimes times = {}, BackEndTls back_end_tls = BackEndTls::kNone,
                      net::VerifiedTls* verify = nullptr) {
    return Keep([&] {
      return StartPop3Proxy(loops_.loops(),
                            {.address = "127.0.0.1:0",
                             .host = "pop1",
                             .hostname = "pop.example.net",
                             .times = times,
                             .back_end_tls = back_end_tls,
                             .verify = verify},
                            host.state(), delay_);
    });
  }

  void StopAll() {
    OnLoop([this] {
      for (auto& listener : listeners_) listener->Stop();
    });
  }

  void Deliver(const std::string& mailbox, std::string_view text) {
    auto delivery = maildir::Delivery::Begin(host.MaildirRoot(), mailbox, {.host = "store1"});
    ASSERT_TRUE(delivery.ok()) << delivery.status();
    ASSERT_TRUE((*delivery)->Append(text).ok());
    ASSERT_TRUE((*delivery)->Commit().ok());
  }

  // The proxies' own.
  auth::FailureDelay& delay() { return delay_; }

  // Sessions end a moment after their client is told.
  void WaitForNoSessions() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < deadline) {
      size_t sessions = 0;
      for (const auto& listener : listeners_) sessions += listener->sessions();
      if (sessions == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "sessions did not end";
  }

  auth::TestHost host;

 private:
  void StartAuthenticator() {
    authenticator_ = auth::Authenticator::Start(host.Pam(2), auth::MailboxLogins(host.state()));
    thread_ = std::thread([this] { loops_.Run(); });
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

  template <typename Start>
  uint16_t Keep(Start start) {
    uint16_t port = 0;
    OnLoop([&] {
      auto listener = start();
      ASSERT_TRUE(listener.ok()) << listener.status();
      port = (*listener)->port();
      listeners_.push_back(*std::move(listener));
    });
    return port;
  }

  net::LoopThreads loops_{2};
  std::thread thread_;
  maildir::ListingMemory listings_;
  net::BlockingPool pool_{4};
  auth::FailureDelay delay_{SystemClock()};
  std::unique_ptr<auth::Authenticator> authenticator_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
};

// A client that has read the greeting.
class TestClient : public TestStream {
 public:
  explicit TestClient(uint16_t port, int receive_buffer = 0) : TestStream(Dial(port, receive_buffer)) {
    EXPECT_TRUE(Line().starts_with("+OK "));
  }
  std::string LogIn(const std::string& login = "alice@example.net", const std::string& password = "right") {
    EXPECT_TRUE(Ask("USER " + login).starts_with("+OK"));
    return Ask("PASS " + password);
  }
};

}  // namespace prov::pop3
