#include "server/api/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prov::api {
namespace {

using feed::FollowerState;
using model::Role;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

HostFacts Host(const std::string& name, Role role, FollowerState state = FollowerState::kCurrent) {
  HostFacts host{.host = name, .role = role};
  host.standing.state = state;
  host.standing.applied_revision = state == FollowerState::kCurrent ? 20 : 7;
  return host;
}

// All well.
SubscriberFacts Alice() {
  SubscriberFacts facts;
  facts.subscriber.login = "alice@example.net";
  facts.subscriber.password_hash = "{CRYPT}secret";
  facts.subscriber.store_pool = "main";
  facts.subscriber.revision = 10;
  facts.domain = model::Domain{.name = "example.net"};
  facts.directory.applied_revision = 20;
  facts.hosts = {Host("store1", Role::kStore), Host("store2", Role::kStore), Host("mx1", Role::kRelay),
                 Host("pop1", Role::kPopProxy)};
  return facts;
}

std::string Verdict(const SubscriberFacts& facts) { return Explain(facts).verdict(); }

bool IsGood(const v1::Explanation& explanation, const std::string& what) {
  for (const auto& step : explanation.steps()) {
    if (step.what() == what) return step.good();
  }
  ADD_FAILURE() << "no step " << what;
  return false;
}

TEST(Explanation, AllWell) {
  const v1::Explanation explanation = Explain(Alice());
  EXPECT_TRUE(explanation.well());
  EXPECT_EQ(explanation.verdict(),
            "Nothing on our side keeps alice@example.net from logging in or getting mail.");
  for (const auto& step : explanation.steps()) EXPECT_TRUE(step.good()) << step.what();
  EXPECT_THAT(explanation.DebugString(), ::testing::Not(HasSubstr("secret")));
}

TEST(Explanation, SuspendedSaysWhatBecomesOfMail) {
  SubscriberFacts facts = Alice();
  facts.subscriber.state = model::State::kSuspended;
  facts.subscriber.suspend_reason = "non-payment";
  EXPECT_EQ(
      Verdict(facts),
      "alice@example.net is suspended (non-payment) and cannot log in; mail is still taken in and kept.");
  facts.subscriber.suspended_mail = model::SuspendedMail::kReject;
  EXPECT_THAT(Verdict(facts), EndsWith("mail is refused."));
  EXPECT_FALSE(Explain(facts).well());
}

TEST(Explanation, ClosedSaysUntilWhenItCanComeBack) {
  SubscriberFacts facts = Alice();
  facts.subscriber.state = model::State::kClosed;
  facts.subscriber.expire_time = model::Time(std::chrono::hours(24 * 365));
  facts.hosts.clear();
  EXPECT_EQ(
      Verdict(facts),
      "alice@example.net is closed: it cannot log in, and its mail is refused; until 1971-01-01 provctl "
      "undelete-user brings it back.");
}

TEST(Explanation, NeitherEntitledNorPassword) {
  SubscriberFacts facts = Alice();
  facts.subscriber.password_hash.clear();
  EXPECT_THAT(Verdict(facts), HasSubstr("has no password"));
  facts.subscriber.entitlements = {.mail = false, .ftp = true};
  EXPECT_THAT(Verdict(facts), HasSubstr("not entitled to mail, only to ftp")) << "the first cause is told";
  EXPECT_FALSE(IsGood(Explain(facts), "password"));
}

TEST(Explanation, DirectoryMissingBehindRefusingOrAway) {
  SubscriberFacts facts = Alice();
  facts.directory.missing = true;
  EXPECT_THAT(Verdict(facts), HasSubstr("missing; provctl directory repair"));
  facts.directory.applied_revision = 8;
  facts.directory.time_to_go = std::chrono::milliseconds(2500);
  EXPECT_EQ(
      Verdict(facts),
      "the directory is behind: it has applied up to revision 8, the last change of alice@example.net is "
      "10, some 3 s to go.");
  facts.directory.cause = "no progress for 7 s: disk full";
  EXPECT_THAT(Verdict(facts), HasSubstr("disk full"));
  facts.directory.refused = "value does not conform";
  EXPECT_THAT(Verdict(facts), HasSubstr("refuses the entry of alice@example.net: value does not conform"));
  facts.directory.unreachable = "connection refused";
  EXPECT_THAT(Verdict(facts), HasSubstr("cannot reach the directory"));
}

TEST(Explanation, OneStoreHostIsEnoughAndTheOtherIsMentioned) {
  SubscriberFacts facts = Alice();
  facts.hosts[0].standing = {.state = FollowerState::kAbsent, .cause = "lost its connection 9 s ago"};
  const v1::Explanation explanation = Explain(facts);
  EXPECT_TRUE(explanation.well());
  EXPECT_THAT(explanation.verdict(),
              EndsWith(", though store1 is not connected: it lost its connection 9 s ago."));
  EXPECT_FALSE(IsGood(explanation, "store store1"));
  facts.hosts[0].state = model::HostState::kDrained;
  EXPECT_TRUE(IsGood(Explain(facts), "store store1")) << "an operator has drained it";
}

TEST(Explanation, NoStoreHostServes) {
  SubscriberFacts facts = Alice();
  facts.hosts = {Host("store1", Role::kStore, FollowerState::kBehind)};
  EXPECT_EQ(
      Verdict(facts),
      "no host of store pool main serves the mailbox of alice@example.net: store1 has applied up to revision "
      "7 of 10.");
  facts.hosts[0].failing = "mkdir: disk full";
  EXPECT_THAT(Verdict(facts), EndsWith("store1 cannot apply it: mkdir: disk full."));
  facts.hosts = {Host("mx1", Role::kRelay)};
  EXPECT_THAT(Verdict(facts), EndsWith("the pool is empty."));
}

TEST(Explanation, RelaysAndProxiesCount) {
  SubscriberFacts facts = Alice();
  facts.hosts[2] = Host("mx1", Role::kRelay, FollowerState::kStuck);
  EXPECT_THAT(Verdict(facts), StartsWith("no relay takes mail for alice@example.net: mx1 has applied"));
  facts = Alice();
  facts.hosts[3].standing.state = FollowerState::kAbsent;
  EXPECT_THAT(Verdict(facts), StartsWith("no POP proxy knows"));
  facts.hosts.pop_back();
  EXPECT_TRUE(Explain(facts).well()) << "not everybody has proxies";
}

TEST(Explanation, AliasLeadsToItsLogin) {
  SubscriberFacts facts = Alice();
  facts.asked_for = "info@example.net";
  EXPECT_EQ(Explain(facts).steps(0).detail(), "info@example.net is an address of alice@example.net");
}

TEST(Explanation, ForwardWithoutCopyExplainsAnEmptyMailbox) {
  SubscriberFacts facts = Alice();
  facts.subscriber.forward.targets = {"a@example.org"};
  EXPECT_THAT(Verdict(facts), EndsWith("; its mail goes on to a@example.org and no copy is kept."));
}

}  // namespace
}  // namespace prov::api
