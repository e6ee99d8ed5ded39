#include "server/directory/plan.h"

#include <gtest/gtest.h>

#include "server/directory/cursor.h"
#include "server/directory/mapping.h"
#include "server/directory/memory_truth.h"

namespace prov::directory {
namespace {

using ldap::Modification;
using store::AggregateKind;

const MappingOptions kOptions{.base = "o=prov", .services = {}, .home_prefix = "/h"};

Item Wants(const model::Subscriber& subscriber) {
  return {AggregateKind::kSubscriber, std::to_string(subscriber.id), 1,
          SubscriberEntry(subscriber, kOptions)};
}

ldap::Entry EntryOf(int64_t id, const std::string& login) {
  return *SubscriberEntry(TestSubscriber(id, login), kOptions);
}

TEST(Difference, ValuesAreSetsAndForeignAttributesStay) {
  const std::vector<std::string> names = {"a", "b", "c"};
  const ldap::Attributes current = {{"a", {"1", "2"}}, {"b", {"x"}}, {"theirs", {"y"}}};
  EXPECT_TRUE(Difference(current, {{"a", {"2", "1"}}, {"b", {"x"}}}, names).empty());
  const auto difference = Difference(current, {{"a", {"2"}}, {"c", {"z"}}}, names);
  const std::vector<Modification> expected = {{Modification::Kind::kReplace, "a", {"2"}},
                                              {Modification::Kind::kReplace, "b", {}},
                                              {Modification::Kind::kReplace, "c", {"z"}}};
  EXPECT_EQ(difference, expected);
}

TEST(Plan, AddsWhatIsMissingAndLeavesWhatIsRight) {
  const auto planned = Plan({Wants(TestSubscriber(1, "a@x.net")), Wants(TestSubscriber(2, "b@x.net"))},
                            {EntryOf(1, "a@x.net")});
  ASSERT_EQ(planned.size(), 1u);
  EXPECT_EQ(planned[0].item, 1u);
  EXPECT_EQ(std::get<ldap::Add>(planned[0].write).entry.dn, "uid=b@x.net,ou=people,o=prov");
}

TEST(Plan, RemovesTheEntryOfWhoHasNone) {
  model::Subscriber closed = TestSubscriber(1, "a@x.net");
  closed.state = model::State::kClosed;
  const auto planned = Plan({Wants(closed)}, {EntryOf(1, "a@x.net")});
  ASSERT_EQ(planned.size(), 1u);
  EXPECT_EQ(std::get<ldap::Delete>(planned[0].write).dn, "uid=a@x.net,ou=people,o=prov");
  EXPECT_TRUE(Plan({Wants(closed)}, {}).empty());
}

TEST(Plan, LoginOfAPurgedSubscriberPassesToItsNewOwnerInOneWrite) {
  model::Subscriber purged = TestSubscriber(1, "a@x.net");
  purged.state = model::State::kPurged;
  const std::vector<Item> items = {Wants(purged), Wants(TestSubscriber(9, "a@x.net"))};
  const auto planned = Plan(items, {EntryOf(1, "a@x.net")});
  ASSERT_EQ(planned.size(), 1u);
  EXPECT_EQ(planned[0].item, 1u);
  EXPECT_EQ(std::get<ldap::Modify>(planned[0].write).dn, "uid=a@x.net,ou=people,o=prov");
}

TEST(Plan, ANewOwnersEntryIsNotRemovedForTheOldOne) {
  model::Subscriber purged = TestSubscriber(1, "a@x.net");
  purged.state = model::State::kPurged;
  EXPECT_TRUE(Plan({Wants(purged)}, {EntryOf(9, "a@x.net")}).empty());
}

TEST(Plan, AnEntryUnderAnotherNameGoes) {
  const auto planned = Plan({Wants(TestSubscriber(1, "new@x.net"))}, {EntryOf(1, "old@x.net")});
  ASSERT_EQ(planned.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<ldap::Add>(planned[0].write));
  EXPECT_EQ(std::get<ldap::Delete>(planned[1].write).dn, "uid=old@x.net,ou=people,o=prov");
}

TEST(Plan, DomainsComeAndGo) {
  model::Domain domain;
  domain.name = "x.net";
  const ldap::Entry entry = DomainEntry(domain, kOptions);
  EXPECT_TRUE(std::holds_alternative<ldap::Add>(
      Plan({{AggregateKind::kDomain, "x.net", 1, entry}}, {}).front().write));
  EXPECT_TRUE(Plan({{AggregateKind::kDomain, "x.net", 1, entry}}, {entry}).empty());
  EXPECT_TRUE(std::holds_alternative<ldap::Delete>(
      Plan({{AggregateKind::kDomain, "x.net", 1, std::nullopt}}, {entry}).front().write));
}

TEST(Cursor, SurvivesTheDirectory) {
  const Cursor cursor{.revision = 17, .failing = {{"subscribers/1042", 3}, {"domains/x.net", 9}}};
  const auto parsed = ParseCursor(CursorEntry("o=prov", cursor));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, cursor);
  EXPECT_FALSE(ParseCursor({"cn=cursor", {}}).ok());
  EXPECT_FALSE(ParseCursor({"cn=cursor", {{"provRevision", {"x"}}}}).ok());
  EXPECT_FALSE(ParseCursor({"cn=cursor", {{"provRevision", {"1"}}, {"provFailing", {"x"}}}}).ok());
}

TEST(Cursor, MovesOnlyFromWhereItStands) {
  const Cursor from{.revision = 1, .failing = {{"subscribers/1", 1}, {"subscribers/2", 1}}};
  const Cursor to{.revision = 5, .failing = {{"subscribers/2", 1}, {"subscribers/3", 4}}};
  const std::vector<Modification> expected = {
      {Modification::Kind::kDelete, "provRevision", {"1"}},
      {Modification::Kind::kAdd, "provRevision", {"5"}},
      {Modification::Kind::kDelete, "provFailing", {"1 subscribers/1"}},
      {Modification::Kind::kAdd, "provFailing", {"4 subscribers/3"}}};
  EXPECT_EQ(MoveCursor("o=prov", from, to).modifications, expected);
}

}  // namespace
}  // namespace prov::directory
