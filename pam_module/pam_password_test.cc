// The password stage through real PAM and a real slapd, which hands the change over to one who plays provd.
// tests/e2e/password_test.py has the real provd.
#include <signal.h>

#include <chrono>
#include <deque>
#include <mutex>
#include <thread>

#include "pam_module/testing/hostile_server.h"
#include "pam_module/testing/pam_directory.h"

namespace prov::pam {
namespace {

constexpr char kLogin[] = "alice@example.net";
constexpr char kNew[] = "another secret";

// Answers prompts in turn, and keeps what the subscriber is told.
struct Dialogue {
  std::deque<std::string> answers;
  std::vector<std::string> prompts;
  std::string told;
};

int Talk(int count, const pam_message** messages, pam_response** responses, void* data) {
  auto& dialogue = *static_cast<Dialogue*>(data);
  auto* filled = static_cast<pam_response*>(calloc(static_cast<size_t>(count), sizeof(pam_response)));
  for (int i = 0; i < count; ++i) {
    if (messages[i]->msg_style != PAM_PROMPT_ECHO_OFF) {
      dialogue.told += messages[i]->msg;
      continue;
    }
    dialogue.prompts.push_back(messages[i]->msg);
    if (dialogue.answers.empty()) continue;
    filled[i].resp = strdup(dialogue.answers.front().c_str());
    dialogue.answers.pop_front();
  }
  *responses = filled;
  return PAM_SUCCESS;
}

class PamPasswordTest : public PamProvTest {
 protected:
  void TearDown() override {
    SetPassword(kPassword);
    PamProvTest::TearDown();
  }

  static void SetPassword(const std::string& password) {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(
        (*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
    const ldap::Modification change{ldap::Modification::Kind::kReplace, "userPassword", {password}};
    ASSERT_TRUE((*connection)->Apply(ldap::Modify{Dn(), {change}}).ok());
  }
  static std::string Dn() { return "uid=alice@example.net,ou=people,o=prov"; }

  // Gives slapd these replies, one for each request, the last for all that follow; before a reply it may do
  // as the publisher does.
  std::unique_ptr<TalkingServer> Provd(std::vector<std::string> replies, bool publishes = false) {
    requests_.clear();
    return std::make_unique<TalkingServer>(slapd_->password_socket(), [this, replies, publishes](int client) {
      std::string request;
      while (!request.ends_with("\n\n") && TalkingServer::HasMore(client)) {
        char part[4096];
        const ssize_t got = recv(client, part, sizeof part, 0);
        if (got <= 0) break;
        request.append(part, static_cast<size_t>(got));
      }
      const std::string& reply = replies[std::min(requests_.size(), replies.size() - 1)];
      requests_.push_back(request);
      send(client, reply.data(), reply.size(), MSG_NOSIGNAL);
      if (publishes) SetPassword(kNew);
    });
  }

  int Change(Dialogue& dialogue, const std::string& login = kLogin,
             const std::string& service = "prov-pop3") {
    const pam_conv conversation{&Talk, &dialogue};
    pam_handle_t* pam = nullptr;
    EXPECT_EQ(pam_start_confdir(service.c_str(), login.c_str(), &conversation,
                                (directory_ + "/pam.d").c_str(), &pam),
              PAM_SUCCESS);
    const int code = pam_chauthtok(pam, 0);
    pam_end(pam, code);
    return code;
  }

  std::vector<std::string> requests_;
};

constexpr char kDone[] = "RESULT\ncode: 0\n";

TEST_F(PamPasswordTest, ASubscriberChangesTheirPassword) {
  const auto provd = Provd({kDone}, /*publishes=*/true);
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_SUCCESS) << dialogue.told;
  EXPECT_EQ(dialogue.prompts.size(), 3u);
  ASSERT_EQ(requests_.size(), 1u);
  EXPECT_NE(requests_[0].find("binddn: " + Dn()), std::string::npos) << requests_[0];
  EXPECT_NE(requests_[0].find("oid: 1.3.6.1.4.1.4203.1.11.1"), std::string::npos);
  // The next login must not be refused because the directory has not heard of it.
  EXPECT_EQ(LogInThroughPam(kLogin, kNew).authenticate, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam(kLogin, kPassword).authenticate, PAM_AUTH_ERR);
}

// The directory hears of it when a first login with the new password has been refused.
TEST_F(PamPasswordTest, TheChangeIsDoneWhenTheDirectoryKnowsIt) {
  const auto provd = Provd({kDone});
  const Log log;
  std::thread publisher([&log] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (log.New().find(" err=49") == std::string::npos && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    SetPassword(kNew);
  });
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_SUCCESS) << dialogue.told;
  EXPECT_EQ(LogInThroughPam(kLogin, kNew).authenticate, PAM_SUCCESS);
  publisher.join();
}

// Whoever may use any service at all may change the password, wherever they ask.
TEST_F(PamPasswordTest, TheServiceThatAsksNeedsNoEntitlement) {
  const auto provd = Provd({kDone}, true);
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue, kLogin, "passwd"), PAM_SUCCESS) << dialogue.told;
}

TEST_F(PamPasswordTest, AWrongOldPasswordIsRefusedBeforeANewOneIsAskedFor) {
  const auto provd = Provd({kDone});
  for (const char* login :
       {kLogin, "nobody@example.net", "suspended@example.net", "nopassword@example.net"}) {
    Dialogue dialogue{{"wrong", kNew, kNew}, {}, {}};
    EXPECT_EQ(Change(dialogue, login), PAM_AUTH_ERR);
    EXPECT_EQ(dialogue.prompts.size(), 1u);
    EXPECT_EQ(dialogue.told, "");
  }
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue, "root"), PAM_USER_UNKNOWN);
  EXPECT_TRUE(requests_.empty());
}

TEST_F(PamPasswordTest, RootIsToldThatTheOldPasswordIsNeeded) {
  const auto provd = Provd({kDone});
  Dialogue dialogue{{"", kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_AUTHTOK_RECOVERY_ERR);
  EXPECT_NE(dialogue.told.find("provctl set-password"), std::string::npos) << dialogue.told;
  EXPECT_TRUE(requests_.empty());
}

TEST_F(PamPasswordTest, ARefusedPasswordIsExplainedInTheDirectorysWords) {
  const auto provd = Provd({"RESULT\ncode: 19\ninfo:password: is too weak: it is a word\n"});
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_AUTHTOK_ERR);
  EXPECT_NE(dialogue.told.find("is too weak: it is a word"), std::string::npos) << dialogue.told;
  EXPECT_EQ(LogInThroughPam(kLogin, kPassword).authenticate, PAM_SUCCESS);
}

TEST_F(PamPasswordTest, EmptySameAndOverlongPasswordsAreRefusedHere) {
  const auto provd = Provd({kDone});
  for (const std::string& bad : {std::string(), std::string(kPassword), std::string(100'000, 'x')}) {
    Dialogue dialogue{{kPassword, bad, bad}, {}, {}};
    EXPECT_NE(Change(dialogue), PAM_SUCCESS) << bad.substr(0, 10);
  }
  Dialogue mistyped{{kPassword, kNew, "another"}, {}, {}};
  EXPECT_NE(Change(mistyped), PAM_SUCCESS);
  EXPECT_TRUE(requests_.empty());
}

TEST_F(PamPasswordTest, BusyIsTriedAgainAndUnavailableIsTold) {
  auto provd = Provd({"RESULT\ncode: 51\ninfo:busy\n", "RESULT\ncode: 51\ninfo:busy\n", kDone}, true);
  Dialogue patient{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(patient), PAM_SUCCESS) << patient.told;
  EXPECT_EQ(requests_.size(), 3u);
  provd.reset();  // slapd finds nobody at the socket
  Dialogue alone{{kNew, "a third one", "a third one"}, {}, {}};
  EXPECT_EQ(Change(alone), PAM_TRY_AGAIN);
  EXPECT_NE(alone.told.find("Try again later"), std::string::npos) << alone.told;
}

TEST_F(PamPasswordTest, WithoutADirectoryNothingIsAsked) {
  Configure({"ldapi://%2Fnonexistent"});
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_TRY_AGAIN);
  EXPECT_EQ(dialogue.prompts.size(), 1u);
}

// As replicas do, and directories without the overlay.
TEST_F(PamPasswordTest, AServerThatChangesNoPasswordsIsPassedOver) {
  auto plain = Slapd::Start();
  ASSERT_TRUE(plain.ok());
  auto connection = ldap::Connection::Open({.uri = (*plain)->ldapi()});
  ASSERT_TRUE(
      (*connection)->Bind((*plain)->ServiceDn("publisher"), (*plain)->ServicePassword("publisher")).ok());
  const ldap::Entry people{"ou=people,o=prov", {{"objectClass", {"organizationalUnit"}}, {"ou", {"people"}}}};
  ASSERT_TRUE((*connection)->Apply(ldap::Add{people}).ok());
  const auto entry =
      directory::SubscriberEntry(directory::TestSubscriber(1, kLogin),
                                 {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
  ASSERT_TRUE((*connection)->Apply(ldap::Add{*entry}).ok());
  const auto provd = Provd({kDone}, true);
  Configure({(*plain)->ldapi()});
  Dialogue refused{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(refused), PAM_AUTHTOK_ERR);
  EXPECT_NE(refused.told.find("provctl set-password"), std::string::npos) << refused.told;
  Configure({(*plain)->ldapi(), slapd_->ldapi()});
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_SUCCESS) << dialogue.told;
}

TEST_F(PamPasswordTest, AChangeThatIsNeverAnsweredIsNotPromised) {
  const TalkingServer provd(slapd_->password_socket(), [](int client) {
    char part[4096];
    while (TalkingServer::HasMore(client) && recv(client, part, sizeof part, 0) > 0) {
      slapd_->Signal(SIGSTOP);  // the answer does not come
    }
  });
  Configure({slapd_->ldapi()}, "timeout = \"2s\"");
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_EQ(Change(dialogue), PAM_AUTHTOK_ERR);
  EXPECT_NE(dialogue.told.find("not known whether"), std::string::npos) << dialogue.told;
  ASSERT_TRUE(slapd_->Signal(SIGCONT));
  slapd_->Kill();  // one of its threads waits for an answer
  ASSERT_TRUE(slapd_->StartAgain().ok());
}

TEST_F(PamPasswordTest, UseAuthtokAsksForNoNewPassword) {
  const std::string stack = directory_ + "/pam.d/stacked";
  std::ofstream(stack) << fmt::format("password required {} config={}/pam_prov.toml use_authtok\n",
                                      ModulePath(), directory_);
  const auto provd = Provd({kDone});
  Dialogue dialogue{{kPassword, kNew, kNew}, {}, {}};
  EXPECT_NE(Change(dialogue, kLogin, "stacked"), PAM_SUCCESS);
  EXPECT_EQ(dialogue.prompts.size(), 1u);  // nobody before it has asked
  EXPECT_TRUE(requests_.empty());
}

}  // namespace
}  // namespace prov::pam
