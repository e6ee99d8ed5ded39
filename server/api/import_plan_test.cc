#include "server/api/import_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"
#include "server/api/import_effects.h"

namespace prov::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using v1::ImportResult;

constexpr uint64_t kRevision = 50;
const model::Time kNow = model::Time(std::chrono::hours(24 * 365 * 50));

class ImportPlan : public ::testing::Test {
 protected:
  ImportPlan() {
    facts_.domains["example.net"] = model::SuspendedMail::kKeep;
    facts_.store_pools = {{.id = "main", .weight = 1}, {.id = "spare", .weight = 0}};
    model::Subscriber& alice = facts_.existing["alice@example.net"];
    alice.id = 7;
    alice.login = "alice@example.net";
    alice.addresses = {alice.login, "al@example.net"};
    alice.store_pool = "main";
    alice.labels = {{"crm", "1"}, {"old", "x"}};
    alice.credential_version = 3;
    for (const std::string& address : alice.addresses) facts_.address_owners[address] = alice.id;
  }

  static v1::ImportRow Row(const std::string& login) {
    v1::ImportRow row;
    row.mutable_subscriber()->set_login(login);
    return row;
  }
  ImportStep PlanOne(const v1::ImportRow& row) { return Planner().Plan(ParseImportRow(row)); }
  ImportPlanner Planner() { return ImportPlanner(facts_, {kRevision, kNow, std::chrono::hours(24)}); }
  static std::string Field(const ImportStep& step) {
    const auto violations = ViolationsOf(step.refused);
    return violations.empty() ? "" : violations.front().field;
  }

  ImportFacts facts_;
};

TEST_F(ImportPlan, SomebodyNewGetsDefaultsAndAPoolByWeight) {
  const ImportStep step = PlanOne(Row("Bob@Example.NET"));
  EXPECT_EQ(step.action, ImportResult::ADDED);
  EXPECT_EQ(step.after.store_pool, "main");
  EXPECT_TRUE(step.after.entitlements.mail);
  EXPECT_THAT(step.after.addresses, ElementsAre("bob@example.net"));
}

TEST_F(ImportPlan, WhatARowDoesNotNameStays) {
  v1::ImportRow row = Row("alice@example.net");
  row.mutable_subscriber()->set_plan("gold");
  const ImportStep step = PlanOne(row);
  EXPECT_EQ(step.action, ImportResult::CHANGED);
  EXPECT_EQ(step.after.plan, "gold");
  EXPECT_EQ(step.after.labels, step.before.labels);
  EXPECT_EQ(step.after.addresses, step.before.addresses);
  EXPECT_EQ(step.after.credential_version, 3u);
}

TEST_F(ImportPlan, OneLabelIsSetOrTakenAwayAndOthersStay) {
  v1::ImportRow row = Row("alice@example.net");
  row.mutable_fields()->add_paths("labels.crm");
  row.mutable_fields()->add_paths("labels.old");
  (*row.mutable_subscriber()->mutable_labels())["crm"] = "2";
  (*row.mutable_subscriber()->mutable_labels())["unnamed"] = "y";
  EXPECT_EQ(PlanOne(row).after.labels, (std::map<std::string, std::string>{{"crm", "2"}}));
}

TEST_F(ImportPlan, RowThatSaysWhatIsChangesNothing) {
  v1::ImportRow row = Row("alice@example.net");
  row.mutable_subscriber()->add_addresses("AL@example.net");
  row.mutable_subscriber()->set_state(v1::Subscriber::ACTIVE);
  row.mutable_subscriber()->set_store_pool("pools/main");
  EXPECT_EQ(PlanOne(row).action, ImportResult::UNCHANGED);
}

TEST_F(ImportPlan, ClosingOneWhoIsGoneIsDoneAlready) {
  v1::ImportRow row = Row("bob@example.net");
  row.mutable_subscriber()->set_state(v1::Subscriber::CLOSED);
  EXPECT_EQ(PlanOne(row).action, ImportResult::UNCHANGED);
}

TEST_F(ImportPlan, ClosedOneComesBackAsItWasOnlyWhenTheRowSaysSo) {
  v1::ImportRow close = Row("alice@example.net");
  close.mutable_subscriber()->set_state(v1::Subscriber::CLOSED);
  const ImportStep closed = PlanOne(close);
  EXPECT_EQ(closed.action, ImportResult::REMOVED);
  EXPECT_EQ(closed.after.expire_time, kNow + std::chrono::hours(24));
  EXPECT_EQ(closed.after.credential_version, kRevision);

  facts_.existing["alice@example.net"] = closed.after;
  v1::ImportRow row = Row("alice@example.net");
  row.mutable_subscriber()->set_plan("gold");
  EXPECT_EQ(PlanOne(row).action, ImportResult::REFUSED);
  row.mutable_subscriber()->set_state(v1::Subscriber::ACTIVE);
  const ImportStep back = PlanOne(row);
  EXPECT_EQ(back.action, ImportResult::CHANGED);
  EXPECT_EQ(back.after.expire_time, std::nullopt);
  EXPECT_EQ(back.after.labels, closed.before.labels);
}

TEST_F(ImportPlan, AddressThatOneRowGivesAwayALaterRowMayTake) {
  ImportPlanner planner = Planner();
  v1::ImportRow take = Row("bob@example.net");
  take.mutable_subscriber()->add_addresses("al@example.net");
  v1::ImportRow give = Row("alice@example.net");
  give.mutable_fields()->add_paths("addresses");
  EXPECT_EQ(Field(planner.Plan(ParseImportRow(take))), "addresses");
  const ImportStep given = planner.Plan(ParseImportRow(give));
  EXPECT_THAT(given.removed, ElementsAre("al@example.net"));
  take.mutable_subscriber()->set_login("carol@example.net");
  EXPECT_EQ(planner.Plan(ParseImportRow(take)).action, ImportResult::ADDED);
  take.mutable_subscriber()->set_login("dave@example.net");
  EXPECT_EQ(Field(planner.Plan(ParseImportRow(take))), "addresses");
}

TEST_F(ImportPlan, RefusalsNameTheFieldOfTheRow) {
  EXPECT_EQ(Field(PlanOne(Row("al@example.net"))), "login");
  EXPECT_EQ(Field(PlanOne(Row("bob@elsewhere.net"))), "login");
  v1::ImportRow row = Row("bob@example.net");
  row.mutable_fields()->add_paths("uid");
  EXPECT_EQ(Field(PlanOne(row)), "fields");
  row = Row("bob@example.net");
  row.mutable_subscriber()->set_store_pool("pools/none");
  EXPECT_EQ(Field(PlanOne(row)), "store_pool");
  row = Row("alice@example.net");
  row.mutable_subscriber()->set_store_pool("pools/spare");
  EXPECT_EQ(Field(PlanOne(row)), "store_pool");
  row = Row("alice@example.net");
  row.mutable_subscriber()->mutable_forward()->add_targets("al@example.net");
  EXPECT_EQ(Field(PlanOne(row)), "forward.targets");
  row = Row("bob@example.net");
  row.mutable_subscriber()->set_state(v1::Subscriber::PURGED);
  EXPECT_EQ(Field(PlanOne(row)), "state");
}

TEST_F(ImportPlan, PasswordIsNamedAndNotShown) {
  model::Subscriber before, after;
  after.password_hash = "{CRYPT}$6$secret";
  const auto changes = DifferencesOf(before, after);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].field(), "password");
  EXPECT_THAT(changes[0].before() + changes[0].after(), IsEmpty());
}

TEST_F(ImportPlan, EffectsAreThoseOfEachView) {
  feed::Fleet fleet;
  fleet.pools = {{.id = "main", .role = model::Role::kStore},
                 {.id = "mx", .role = model::Role::kRelay},
                 {.id = "spare", .role = model::Role::kStore},
                 {.id = "web", .role = model::Role::kWeb}};
  v1::ImportRow web = Row("alice@example.net");
  web.mutable_fields()->add_paths("entitlements.web");
  web.mutable_subscriber()->mutable_entitlements()->set_web(true);
  ImportPlanner planner = Planner();
  const std::vector<ImportStep> steps = {planner.Plan(ParseImportRow(web)),
                                         planner.Plan(ParseImportRow(Row("bob@example.net"))),
                                         planner.Plan(ParseImportRow(Row("nobody@elsewhere.net")))};
  std::vector<std::string> lines;
  for (const v1::ImportEffect& effect : EffectsOf(steps, fleet, {.base = "o=prov"})) {
    lines.push_back(effect.follower() + " +" + std::to_string(effect.adds()) + " -" +
                    std::to_string(effect.removals()));
  }
  EXPECT_THAT(lines, ElementsAre("directory +1 -0", "pools/main +1 -0", "pools/mx +1 -0", "pools/spare +0 -0",
                                 "pools/web +1 -0"));
}

TEST_F(ImportPlan, WebNamesAreGivenAndTakenAndThoseOfOthersRefused) {
  facts_.existing["alice@example.net"].web_names = {"a.example.org", "b.example.org"};
  facts_.web_name_owners = {{"a.example.org", 7}, {"b.example.org", 7}, {"reserved.example.org", 0}};
  facts_.withheld_web_names = {"www.example.net"};
  ImportPlanner planner = Planner();
  v1::ImportRow row = Row("alice@example.net");
  for (const char* name : {"C.example.org", "b.example.org"}) row.mutable_subscriber()->add_web_names(name);
  const ImportStep step = planner.Plan(ParseImportRow(row));
  EXPECT_EQ(step.action, ImportResult::CHANGED);
  EXPECT_THAT(step.added_web_names, ElementsAre("c.example.org"));
  EXPECT_THAT(step.removed_web_names, ElementsAre("a.example.org"));
  int number = 0;
  for (const char* name :
       {"b.example.org", "c.example.org", "reserved.example.org", "www.example.net", "no name"}) {
    v1::ImportRow other = Row("other" + std::to_string(++number) + "@example.net");
    other.mutable_subscriber()->add_web_names(name);
    EXPECT_EQ(Field(planner.Plan(ParseImportRow(other))), "web_names") << name;
  }
  // What a row before gave away is free.
  v1::ImportRow heir = Row("heir@example.net");
  heir.mutable_subscriber()->add_web_names("a.example.org");
  EXPECT_EQ(planner.Plan(ParseImportRow(heir)).action, ImportResult::ADDED);
}

}  // namespace
}  // namespace prov::api
