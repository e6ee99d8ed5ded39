#include "agents/mail/pop3/mailbox_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prov::pop3 {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;

TEST(MailboxTerms, NobodyWaitsAndNothingExpiresUnlessConfigured) {
  const PlanTerms terms;
  EXPECT_EQ(terms.Of("gold").login_delay, seconds(0));
  EXPECT_EQ(terms.Of("gold").expire_days, 0);
  EXPECT_THAT(terms.CapabilitiesBeforeLogin(), ElementsAre("EXPIRE NEVER"));
}

TEST(MailboxTerms, APlanHasItsOwnOrElseWhatAllHave) {
  AgentConfig::Engine::Pop3 config;
  config.login_delay = minutes(1);
  config.expire = hours(24 * 90);
  config.plan_login_delay = {{"free", minutes(15)}, {"gold", seconds(0)}};
  config.plan_expire = {{"free", hours(24 * 30)}};
  const PlanTerms terms(config);
  EXPECT_EQ(terms.Of("free").login_delay, minutes(15));
  EXPECT_EQ(terms.Of("free").expire_days, 30);
  EXPECT_EQ(terms.Of("gold").login_delay, seconds(0));
  EXPECT_EQ(terms.Of("gold").expire_days, 90);
  EXPECT_EQ(terms.Of("").login_delay, minutes(1));
  EXPECT_EQ(terms.Of("other").expire_days, 90);
}

// RFC 2449 sections 6.5 and 6.7.
TEST(MailboxTerms, BeforeLoginTheLongestDelayAndTheShortestTimeAreTold) {
  AgentConfig::Engine::Pop3 config;
  config.plan_login_delay = {{"free", minutes(15)}, {"tin", minutes(5)}};
  config.plan_expire = {{"free", hours(24 * 30)}, {"tin", hours(24 * 60)}};
  const PlanTerms terms(config);
  EXPECT_THAT(terms.CapabilitiesBeforeLogin(), ElementsAre("EXPIRE 30 USER", "LOGIN-DELAY 900 USER"));
  EXPECT_THAT(PlanTerms::CapabilitiesOf(terms.Of("tin")), ElementsAre("EXPIRE 60", "LOGIN-DELAY 300"));
  EXPECT_THAT(PlanTerms::CapabilitiesOf(terms.Of("gold")), ElementsAre("EXPIRE NEVER"));
}

TEST(MailboxTerms, WhatIsTheSameForAllIsToldWithoutUser) {
  AgentConfig::Engine::Pop3 config;
  config.login_delay = minutes(1);
  config.expire = hours(24 * 30);
  config.plan_login_delay = {{"free", minutes(1)}};
  EXPECT_THAT(PlanTerms(config).CapabilitiesBeforeLogin(), ElementsAre("EXPIRE 30", "LOGIN-DELAY 60"));
}

// Some keep mail for ever, and others do not: the shortest time is that of those who do not.
TEST(MailboxTerms, NeverIsLongerThanAnyTime) {
  AgentConfig::Engine::Pop3 config;
  config.expire = hours(24 * 30);
  config.plan_expire = {{"gold", hours(0)}};
  EXPECT_THAT(PlanTerms(config).CapabilitiesBeforeLogin(), ElementsAre("EXPIRE 30 USER"));
  EXPECT_EQ(PlanTerms(config).Of("gold").expire_days, 0);
}

}  // namespace
}  // namespace prov::pop3
