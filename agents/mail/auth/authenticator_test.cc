#include "agents/mail/auth/authenticator.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <future>
#include <map>
#include <thread>

#include "agents/mail/auth/testing/test_host.h"
#include "agents/mail/auth/worker_pool.h"
#include "common/metrics.h"

namespace prov::auth {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class AuthenticatorTest : public testing::Test {
 protected:
  AuthenticatorTest() {
    host_.SetMailbox("alice@example.net", 7);
    host_.SetPasswords({"alice@example.net:right:7", "stranger@example.net:right:1"});
    Start();
  }

  void Start(uint32_t workers = 1, int timeout_ms = 5000) {
    authenticator_.reset();
    authenticator_ = Authenticator::Start(host_.Pam(workers, timeout_ms), MailboxLogins(host_.state()));
  }

  std::future<Verdict> Begin(const std::string& login, const std::string& password) {
    auto promise = std::make_shared<std::promise<Verdict>>();
    authenticator_->Authenticate({"prov-pop3", login, Secret(password), "192.0.2.1"},
                                 [promise](Verdict verdict) { promise->set_value(std::move(verdict)); });
    return promise->get_future();
  }

  Verdict Try(const std::string& login, const std::string& password) { return Begin(login, password).get(); }

  // Until the outcome is there, for what takes a moment: a worker that is started again.
  bool Eventually(const std::string& login, const std::string& password, Outcome outcome) {
    const auto deadline = steady_clock::now() + seconds(30);
    while (steady_clock::now() < deadline) {
      if (Try(login, password).outcome == outcome) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  // Of the POP3 service, by cause.
  static std::map<std::string, double> Counts() {
    std::map<std::string, double> counts;
    for (const prometheus::MetricFamily& family : MetricsRegistry()->Collect()) {
      if (family.name != "prov_engine_logins_total") continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        for (const auto& label : metric.label) {
          if (label.name == "cause") counts[label.value] += metric.counter.value;
        }
      }
    }
    return counts;
  }

  TestHost host_;
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AuthenticatorTest, TheRightPasswordThroughRealPam) {
  const Verdict verdict = Try("Alice@Example.NET", "right");
  EXPECT_EQ(verdict.outcome, Outcome::kOk) << verdict.detail;
  EXPECT_EQ(verdict.mailbox_id, "alice");
  EXPECT_FALSE(verdict.from_cache);
  EXPECT_EQ(verdict.hold.count(), 0);
}

TEST_F(AuthenticatorTest, WrongAndUnknownAreTheSame) {
  const Verdict wrong = Try("alice@example.net", "wrong");
  EXPECT_EQ(wrong.outcome, Outcome::kWrongOrUnknown);
  EXPECT_EQ(wrong.hold, seconds(2));
  const Verdict unknown = Try("nobody@example.net", "right");
  EXPECT_EQ(unknown.outcome, Outcome::kWrongOrUnknown);
  EXPECT_EQ(unknown.hold, seconds(4));  // it grows with the network, not with the reason
}

TEST_F(AuthenticatorTest, OddCredentialsAreRefusedWithoutHarm) {
  for (const std::string& password : {std::string(), std::string("right\0x", 7), std::string("right\0", 6),
                                      std::string(513, 'x'), std::string(100'000, 'x')}) {
    const Verdict verdict = Try("alice@example.net", password);
    EXPECT_EQ(verdict.outcome, Outcome::kWrongOrUnknown);
    EXPECT_EQ(verdict.cause, Cause::kMalformed) << "without a look";
  }
  testing::internal::CaptureStdout();
  for (const std::string& login : {std::string(), std::string(255, 'a'), std::string(100'000, 'a'),
                                   std::string("alice@example.net\0", 18)}) {
    EXPECT_EQ(Try(login, "right").cause, Cause::kMalformed);
  }
  EXPECT_LT(testing::internal::GetCapturedStdout().size(), 4000u);
  for (const std::string& login :
       {std::string(), std::string(100'000, 'a'), std::string("alice@example.net\0", 18), std::string("*"),
        std::string(")(uid=*"), std::string("\xff\xfe"), std::string("../../etc/passwd")}) {
    EXPECT_EQ(Try(login, "right").outcome, Outcome::kWrongOrUnknown);
  }
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
}

TEST_F(AuthenticatorTest, NotEntitledIsToldApartInside) {
  host_.SetMailbox("noservice@example.net", 1);
  host_.SetPasswords({"noservice@example.net:right:1"});
  EXPECT_EQ(Try("noservice@example.net", "right").outcome, Outcome::kNotEntitled);
  EXPECT_EQ(Try("noservice@example.net", "wrong").outcome, Outcome::kWrongOrUnknown);
}

// What clients are told apart by is the outcome; the log and metrics know more.
TEST_F(AuthenticatorTest, CausesAreToldApartInsideAndCounted) {
  host_.SetMailbox("noservice@example.net", 1);
  host_.SetMailbox("expired@example.net", 1);
  host_.SetMailbox("suspended@example.net", 1, v1::REJECT_PERMANENTLY);
  host_.SetPasswords({"alice@example.net:right:7", "noservice@example.net:right:1",
                      "expired@example.net:right:1", "stranger@example.net:right:1"});
  const struct {
    const char* login;
    const char* password;
    Outcome outcome;
    Cause cause;
  } attempts[] = {
      {"alice@example.net", "right", Outcome::kOk, Cause::kRightPassword},
      {"alice@example.net", "right", Outcome::kOk, Cause::kCached},
      {"alice@example.net", "wrong", Outcome::kWrongOrUnknown, Cause::kWrong},
      {"nobody@example.net", "right", Outcome::kWrongOrUnknown, Cause::kUnknown},
      {"alice@example.net", "", Outcome::kWrongOrUnknown, Cause::kMalformed},
      {"suspended@example.net", "right", Outcome::kNotAllowed, Cause::kSuspended},
      {"expired@example.net", "right", Outcome::kNotAllowed, Cause::kExpired},
      {"noservice@example.net", "right", Outcome::kNotEntitled, Cause::kNotEntitled},
      {"stranger@example.net", "right", Outcome::kTemporaryFailure, Cause::kNotHereYet},
  };
  std::map<std::string, double> expected = Counts();
  for (const auto& [login, password, outcome, cause] : attempts) {
    const Verdict verdict = Try(login, password);
    EXPECT_EQ(verdict.outcome, outcome) << login << " " << password << ": " << verdict.detail;
    EXPECT_EQ(CauseName(verdict.cause), CauseName(cause))
        << login << " " << password << ": " << verdict.detail;
    expected[std::string(CauseName(cause))] += 1;
  }
  host_.TakeDirectoryDown();
  EXPECT_EQ(Try("alice@example.net", "another").cause, Cause::kDirectoryUnreachable);
  expected["directory_unreachable"] += 1;
  EXPECT_EQ(Try("alice@example.net", "crash").cause, Cause::kWorkerFailed);
  expected["worker_failed"] += 1;
  EXPECT_EQ(Counts(), expected);
}

TEST_F(AuthenticatorTest, ARightPasswordWithoutMailboxHereIsTemporary) {
  EXPECT_EQ(Try("stranger@example.net", "right").outcome, Outcome::kTemporaryFailure);
  EXPECT_EQ(Try("stranger@example.net", "wrong").outcome, Outcome::kWrongOrUnknown);
}

TEST_F(AuthenticatorTest, CachedCredentialsGoOnWithTheDirectoryDown) {
  ASSERT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
  host_.TakeDirectoryDown();
  const Verdict cached = Try("alice@example.net", "right");
  EXPECT_EQ(cached.outcome, Outcome::kOk);
  EXPECT_TRUE(cached.from_cache);
  // All others are deferred: nothing can be said of their password.
  EXPECT_EQ(Try("alice@example.net", "wrong").outcome, Outcome::kTemporaryFailure);
  EXPECT_EQ(Try("nobody@example.net", "right").outcome, Outcome::kTemporaryFailure);
}

TEST_F(AuthenticatorTest, SuspensionEndsCachedCredentialsAtOnce) {
  ASSERT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
  host_.TakeDirectoryDown();
  ASSERT_TRUE(Try("alice@example.net", "right").from_cache);
  host_.SetMailbox("alice@example.net", 8, v1::REJECT_PERMANENTLY);
  const Verdict suspended = Try("alice@example.net", "right");
  EXPECT_EQ(suspended.outcome, Outcome::kNotAllowed);
  EXPECT_GE(suspended.hold, seconds(2));
  // Resumed with a version of its own: what was cached stays dead.
  host_.SetMailbox("alice@example.net", 9);
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kTemporaryFailure);
}

TEST_F(AuthenticatorTest, ANewCredentialVersionEndsCachedCredentialsAtOnce) {
  ASSERT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
  host_.SetPasswords({"alice@example.net:changed:8"});
  host_.SetMailbox("alice@example.net", 8);
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kWrongOrUnknown);
  EXPECT_EQ(Try("alice@example.net", "changed").outcome, Outcome::kOk);
}

TEST_F(AuthenticatorTest, ADirectoryThatLagsBehindIsNotCached) {
  host_.SetMailbox("alice@example.net", 8);  // the directory still says 7
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
  EXPECT_FALSE(Try("alice@example.net", "right").from_cache);
}

// The module waits for the other end of a pipe in the file's place, and so for what happens meanwhile.
TEST_F(AuthenticatorTest, ASuspensionIsNotOvertakenByTheLoginBeforeIt) {
  host_.PipePasswords();
  auto login = Begin("alice@example.net", "right");
  std::ofstream directory = host_.WaitForPam();
  host_.SetMailbox("alice@example.net", 8, v1::REJECT_PERMANENTLY);
  directory << "alice@example.net:right:7\n" << std::flush;
  directory.close();
  EXPECT_EQ(login.get().outcome, Outcome::kNotAllowed);
}

TEST_F(AuthenticatorTest, AVersionThatChangedMeanwhileIsNotCached) {
  host_.PipePasswords();
  auto login = Begin("alice@example.net", "right");
  std::ofstream directory = host_.WaitForPam();
  host_.SetMailbox("alice@example.net", 8);
  directory << "alice@example.net:right:\n" << std::flush;  // a module that knows of no versions
  directory.close();
  EXPECT_EQ(login.get().outcome, Outcome::kOk);
  host_.SetPasswords({"alice@example.net:right:"});
  EXPECT_FALSE(Try("alice@example.net", "right").from_cache);
}

TEST_F(AuthenticatorTest, WhatTheStateSaysDecidesBeforeThePassword) {
  const struct {
    absl::StatusOr<LoginRecord> record;
    Outcome outcome;
    Cause cause;
  } cases[] = {
      {absl::UnavailableError("unreadable"), Outcome::kTemporaryFailure, Cause::kStateUnreadable},
      {LoginRecord{v1::ALLOW, /*closed=*/true, 7}, Outcome::kNotAllowed, Cause::kClosed},
      {LoginRecord{v1::DISPOSITION_UNSPECIFIED, false, 7}, Outcome::kNotAllowed, Cause::kSuspended},
  };
  for (const auto& one : cases) {
    authenticator_ = Authenticator::Start(host_.Pam(), [&one](const std::string&) { return one.record; });
    const Verdict verdict = Try("alice@example.net", "right");
    EXPECT_EQ(verdict.outcome, one.outcome);
    EXPECT_EQ(CauseName(verdict.cause), CauseName(one.cause));
  }
}

TEST_F(AuthenticatorTest, MoreThanTheQueueHoldsAreDeferred) {
  std::vector<std::future<Verdict>> verdicts;
  for (size_t i = 0; i < WorkerPool::Options().max_queued + 10; ++i)
    verdicts.push_back(Begin("alice@example.net", "hang"));
  EXPECT_EQ(CauseName(verdicts.back().get().cause), CauseName(Cause::kOverloaded));
}

TEST_F(AuthenticatorTest, DeferredSubscribersAreDeferred) {
  host_.SetMailbox("alice@example.net", 8, v1::TEMPFAIL);
  const Verdict verdict = Try("alice@example.net", "right");
  EXPECT_EQ(verdict.outcome, Outcome::kTemporaryFailure);
  EXPECT_EQ(verdict.hold.count(), 0);
}

TEST_F(AuthenticatorTest, AWorkerThatCrashesIsReplaced) {
  EXPECT_EQ(Try("alice@example.net", "crash").outcome, Outcome::kTemporaryFailure);
  EXPECT_TRUE(Eventually("alice@example.net", "right", Outcome::kOk));
}

TEST_F(AuthenticatorTest, AWorkerThatHangsIsReplaced) {
  Start(1, 300);
  const auto started = steady_clock::now();
  auto hanging = Begin("alice@example.net", "hang");
  auto behind = Begin("alice@example.net", "wrong");
  EXPECT_EQ(hanging.get().outcome, Outcome::kTemporaryFailure);
  EXPECT_EQ(behind.get().outcome, Outcome::kTemporaryFailure);  // its time was up as well
  EXPECT_LT(steady_clock::now() - started, WorkerPool::Options().timeout) << "the configured time counts";
  EXPECT_TRUE(Eventually("alice@example.net", "right", Outcome::kOk));
}

TEST_F(AuthenticatorTest, OneThatHangsDoesNotHoldUpOthersWorkers) {
  Start(2, 20'000);
  auto hanging = Begin("alice@example.net", "hang");
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kOk);
  EXPECT_EQ(hanging.wait_for(milliseconds(0)), std::future_status::timeout);
  const auto stopped = steady_clock::now();
  authenticator_.reset();  // kills it
  EXPECT_LT(steady_clock::now() - stopped, seconds(15));
  EXPECT_EQ(hanging.get().outcome, Outcome::kTemporaryFailure);
}

TEST_F(AuthenticatorTest, WithoutAServiceFileNobodyIsRefusedForGood) {
  std::filesystem::remove(host_.path() + "/pam.d/prov-pop3");
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kTemporaryFailure);
}

TEST_F(AuthenticatorTest, WithoutAWorkerProgramLoginsAreDeferred) {
  auto pam = host_.Pam(1, 300);
  pam.worker_program = "/nonexistent";
  authenticator_ = Authenticator::Start(pam, MailboxLogins(host_.state()));
  EXPECT_EQ(Try("alice@example.net", "right").outcome, Outcome::kTemporaryFailure);
}

}  // namespace
}  // namespace prov::auth
