// A proxy in front of back ends that are not what they should be.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "agents/mail/pop3/testing/pop3_client.h"
#include "agents/mail/pop3/testing/test_service.h"

namespace prov::pop3 {

inline constexpr char kTryLater[] = "-ERR [SYS/TEMP] Try again later\r\n";
inline constexpr char kLogin[] = "alice@example.net";

inline std::string Local(uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

// The two in the order in which a pool must name them for `first` to be the login's own.
inline std::vector<std::string> TriedFirst(const std::string& first, const std::string& second) {
  v1::PoolMembers pool;
  for (const char* host : {"store1", "store2"}) {
    v1::PoolMembers::Member* member = pool.add_members();
    member->set_host(host);
    (*member->mutable_endpoints())["pop3"] = host;
  }
  return OrderStores(pool, kLogin, "pop3").front().host == "store1" ? std::vector{first, second}
                                                                    : std::vector{second, first};
}

class ProxyBackEndTest : public testing::Test {
 protected:
  ProxyBackEndTest() {
    service_.host.SetMailbox(kLogin, 1);
    service_.host.SetRoute(kLogin, "main");
  }

  // A login through a proxy that meets this back end first, and a good one then.
  void ExpectPassedOver(const std::function<void(TestStream&)>& script, SessionTimes times = {}) {
    TestServer bad([&](TestStream& peer) {
      script(peer);
      for (std::string line = peer.Line(); !line.empty(); line = peer.Line()) {
        if (line.starts_with("PASS")) password_seen_ = true;
      }
    });
    service_.host.SetPool("main", TriedFirst(bad.endpoint(), Local(service_.StartServer())));
    TestClient client(service_.StartProxy(times));
    EXPECT_TRUE(client.LogIn().starts_with("+OK"));
    EXPECT_EQ(client.Ask("QUIT"), "+OK Bye\r\n");
    EXPECT_EQ(bad.sessions(), 1);
    EXPECT_FALSE(password_seen_);
  }

  TestService service_;
  std::atomic<bool> password_seen_ = false;
};

}  // namespace prov::pop3
