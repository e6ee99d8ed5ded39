// Directories that hang, lie or talk nonsense: nobody gets in, nobody waits longer than configured, and
// another server takes over.
#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "pam_module/directory_login.h"
#include "pam_module/testing/hostile_server.h"
#include "pam_module/testing/pam_directory.h"

namespace {

// A resolver that hangs, for names below slow.example, until it is let go.
std::mutex resolver_mutex;
std::condition_variable resolver_changed;
bool resolver_hangs = true;
int resolver_waiting = 0;

}  // namespace

extern "C" int getaddrinfo(const char* host, const char* port, const addrinfo* hints, addrinfo** found) {
  using Real = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const bool by_name = hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) == 0;
  if (by_name && std::string_view(host).ends_with("slow.example")) {
    std::unique_lock lock(resolver_mutex);
    ++resolver_waiting;
    resolver_changed.notify_all();
    resolver_changed.wait(lock, [] { return !resolver_hangs; });
    --resolver_waiting;
    resolver_changed.notify_all();
    return EAI_AGAIN;
  }
  return real(host, port, hints, found);
}

namespace prov::pam {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class HostileDirectoryTest : public PamProvTest {
 protected:
  // Generous, for a loaded machine; without a limit it would be for ever.
  static constexpr std::chrono::seconds kPatience{20};

  void ExpectGivenUpInTime(const std::string& what) {
    const auto start = steady_clock::now();
    const Outcome outcome = LogInThroughPam("alice@example.net", kPassword);
    EXPECT_EQ(outcome.authenticate, PAM_AUTHINFO_UNAVAIL) << what;
    EXPECT_EQ(outcome.account, PAM_AUTHINFO_UNAVAIL) << what;
    EXPECT_LT(steady_clock::now() - start, kPatience) << what;
  }
  std::string SocketPath() const { return directory_ + "/hostile"; }
};

TEST_F(HostileDirectoryTest, FailsOverFromADeadServerAndRemembersIt) {
  const SilentServer silent;
  Configure({"ldapi://%2Fnonexistent", silent.uri(), slapd_->ldapi()},
            fmt::format("ca = \"{}\"\ntimeout = \"6s\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(silent.Visits(), 1);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(silent.Visits(), 0);
}

TEST_F(HostileDirectoryTest, ReturnsToItsFirstServer) {
  const SilentServer silent;
  Configure({silent.uri(), slapd_->ldapi()},
            fmt::format("ca = \"{}\"\ntimeout = \"600ms\"\ndead_for = \"0ms\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(silent.Visits(), 2);
}

TEST_F(HostileDirectoryTest, WhoAnswersAgainIsAskedBeforeWhoDoesNot) {
  const SilentServer silent;
  Configure({silent.uri(), slapd_->ldapi()}, fmt::format("ca = \"{}\"\ntimeout = \"6s\"", slapd_->ca()));
  ASSERT_TRUE(slapd_->Signal(SIGSTOP));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  ASSERT_TRUE(slapd_->Signal(SIGCONT));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_GT(silent.Visits(), 0);
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_SUCCESS);
  EXPECT_EQ(silent.Visits(), 0);
}

// It goes on accepting, as a stopped process does.
TEST_F(HostileDirectoryTest, AStoppedSlapdIsGivenUpInTime) {
  for (int kept = 0; kept < 2; ++kept) {
    Configure({slapd_->ldapi()}, "timeout = \"600ms\"");
    if (kept == 1)
      for (int i = 0; i < 2; ++i) LogInThroughPam("alice@example.net", kPassword);
    ASSERT_TRUE(slapd_->Signal(SIGSTOP));
    ExpectGivenUpInTime(kept == 1 ? "over kept connections" : "over new connections");
    ASSERT_TRUE(slapd_->Signal(SIGCONT));
    Configure({slapd_->ldapi()}, "timeout = \"30s\"");
    EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  }
}

TEST_F(HostileDirectoryTest, GarbageLetsNobodyInAndHangsNobody) {
  using namespace std::string_literals;
  const std::string answers[] = {
      "HTTP/1.1 400 Bad Request\r\n\r\n"s,
      "\0"s,
      "\xff\xff\xff\xff\xff\xff\xff\xff"s,
      std::string(100'000, 'A'),
      std::string(100'000, '\0'),
      "\x30\x84\x7f\xff\xff\xff"s,                                  // 2 GiB are to come
      "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00"s,          // cut off
      "\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00"s,  // a success to what nobody asked
      "\x30\x05\x02\x01\x01\x61\x00"s,                              // without a result code
      "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00"s,  // a search's end to a bind
      ""s};
  for (const std::string& answer : answers) {
    const TalkingServer server(SocketPath(), [&answer](int client) {
      while (TalkingServer::HasMore(client)) {
        char request[4096];
        if (recv(client, request, sizeof request, 0) <= 0) return;
        if (answer.empty()) return;
        if (send(client, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
      }
    });
    Configure({server.ldapi()}, "timeout = \"400ms\"\ndead_for = \"0ms\"");
    ExpectGivenUpInTime(answer.substr(0, 20));
    Configure({server.ldapi(), slapd_->ldapi()}, "timeout = \"6s\"\ndead_for = \"0ms\"");
    EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR)
        << answer.substr(0, 20);
  }
}

// Every octet would give it more time, if the time were counted from one message to the next.
TEST_F(HostileDirectoryTest, AnAnswerOctetByOctetIsGivenUpInTime) {
  const TalkingServer server(SocketPath(), [](int client) {
    if (!TalkingServer::HasMore(client)) return;
    std::string answer("\x30\x83\x01\x00\x00", 5);
    answer.append(60'000, '\x04');
    for (const char octet : answer) {
      pollfd gone{client, POLLRDHUP, 0};
      if (poll(&gone, 1, 5) != 0 || send(client, &octet, 1, MSG_NOSIGNAL) != 1) return;
    }
  });
  Configure({server.ldapi()}, "timeout = \"400ms\"");
  ExpectGivenUpInTime("octet by octet");
}

TEST_F(HostileDirectoryTest, AStalledTlsHandshakeIsGivenUpInTime) {
  const SilentServer silent;
  Configure({silent.uri()}, fmt::format("ca = \"{}\"\ntimeout = \"300ms\"", slapd_->ca()));
  ExpectGivenUpInTime("TLS");
}

TEST_F(HostileDirectoryTest, ASlowResolverIsGivenUpInTime) {
  const std::string path = directory_ + "/pam_prov.toml";
  const std::string ca = fmt::format("ca = \"{}\"\n", slapd_->ca());
  Configure({"ldaps://dir.slow.example"}, ca + "timeout = \"300ms\"");
  const auto start = steady_clock::now();
  const LoginResult late = LogIn(*LoadConfig(path), "prov-pop3", "alice@example.net", kPassword);
  EXPECT_EQ(late.standing, Standing::kUnavailable);
  EXPECT_NE(late.cause.find("looking dir.slow.example up"), std::string::npos) << late.cause;
  EXPECT_LT(steady_clock::now() - start, kPatience);
  Configure({"ldaps://dir.slow.example", slapd_->ldapi()}, ca + "timeout = \"6s\"\ndead_for = \"0ms\"");
  EXPECT_EQ(LogIn(*LoadConfig(path), "prov-pop3", "alice@example.net", kPassword).standing,
            Standing::kAllowed);
  // However many come meanwhile, only so many look-ups wait.
  Configure({"ldaps://dir.slow.example"}, ca + "timeout = \"100ms\"\ndead_for = \"0ms\"");
  for (int i = 0; i < 20; ++i) LogIn(*LoadConfig(path), "prov-pop3", "alice@example.net", kPassword);
  std::unique_lock lock(resolver_mutex);
  EXPECT_LE(resolver_waiting, 16);
  resolver_hangs = false;
  resolver_changed.notify_all();
  EXPECT_TRUE(resolver_changed.wait_for(lock, kPatience, [] { return resolver_waiting == 0; }));
}

}  // namespace
}  // namespace prov::pam
