#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "agents/mail/route/next_hop.h"
#include "agents/mail/route/pool_order.h"
#include "agents/mail/route/router.h"
#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"

namespace prov::route {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

class HeldClock final : public Clock {
 public:
  system_clock::time_point Now() const override { return now; }
  std::chrono::steady_clock::time_point Monotonic() const override { return {}; }
  system_clock::time_point now = system_clock::now();
};

v1::Record Domain(const std::string& name, const std::string& alias_of = "",
                  const std::string& catch_all = "") {
  v1::Record record;
  record.set_key("domains/" + name);
  record.set_revision(1);
  record.mutable_domain()->set_domain(name);
  record.mutable_domain()->set_alias_of(alias_of);
  record.mutable_domain()->set_catch_all(catch_all);
  return record;
}

v1::Record Route(int id, v1::Disposition receive = v1::ALLOW) {
  v1::Record record = state::RouteRecord(id, 1);
  record.mutable_mail_route()->set_receive(receive);
  return record;
}

v1::Record Pool(const std::vector<std::tuple<std::string, uint32_t, bool, std::string>>& members) {
  v1::Record record;
  record.set_key("pools/main");
  record.set_revision(1);
  record.mutable_pool()->set_pool("main");
  record.mutable_pool()->set_role(v1::STORE);
  for (const auto& [host, weight, drained, lmtp] : members) {
    v1::PoolMembers::Member* member = record.mutable_pool()->add_members();
    member->set_host(host);
    member->set_weight(weight);
    member->set_drained(drained);
    if (!lmtp.empty()) (*member->mutable_endpoints())["lmtp"] = lmtp;
  }
  return record;
}

class Routing : public testing::Test {
 protected:
  void SetUp() override {
    auto writer = state::StateWriter::Open(directory_.path());
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = std::move(*writer);
    auto reader = state::StateReader::Open(directory_.path());
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_ = std::move(*reader);
    router_ = std::make_unique<Router>(*reader_, clock_);
  }

  void Fill() {
    ASSERT_TRUE(writer_->BeginSnapshot(v1::RELAY).ok());
    const v1::Batch batch =
        state::BatchOf(1, {Domain("example.net"), Domain("alias.example", "example.net"),
                           Domain("catch.example", "", "user1@example.net"), Route(1), Route(2, v1::TEMPFAIL),
                           Route(3, v1::REJECT_PERMANENTLY), Pool({{"a", 1, false, "127.0.0.1:24"}})});
    ASSERT_TRUE(writer_->ApplySnapshotBatch(v1::RELAY, batch).ok());
    ASSERT_TRUE(writer_->EndSnapshot(v1::RELAY, 1).ok());
    ASSERT_TRUE(writer_->ConfirmHead(v1::RELAY, 1, clock_.now).ok());
  }

  std::string Say(const std::string& local, const std::string& domain) {
    const Decision decision = router_->Resolve(local, domain);
    if (const auto* l = std::get_if<Local>(&decision)) return fmt::format("local {} {}", l->pool, l->address);
    if (const auto* r = std::get_if<Remote>(&decision)) return r->certain ? "remote" : "remote?";
    if (std::holds_alternative<Unknown>(decision)) return "unknown";
    if (std::holds_alternative<Refused>(decision)) return "refused";
    return std::get<Deferred>(decision).disabled ? "disabled" : "deferred";
  }

  state::TestDirectory directory_;
  HeldClock clock_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<Router> router_;
};

TEST_F(Routing, AnAddressIsItsLoginsOwnHoweverMailForItComesThere) {
  Fill();
  for (const char* own :
       {"user1@example.net", "USER1@Example.NET", "user1@alias.example", "anybody@catch.example"}) {
    EXPECT_TRUE(*router_->IsAddressOf("user1@example.net", own)) << own;
    EXPECT_FALSE(*router_->IsAddressOf("user2@example.net", own)) << own;
  }
  for (const char* foreign :
       {"user2@example.net", "nobody@example.net", "user1@elsewhere.example", "user1", ""}) {
    EXPECT_FALSE(*router_->IsAddressOf("user1@example.net", foreign)) << foreign;
  }
  // Who takes no mail just now may be allowed to send some.
  EXPECT_TRUE(*router_->IsAddressOf("user2@example.net", "user2@example.net"));
}

TEST_F(Routing, ARewrittenAddressLeadsToItsSender) {
  Fill();
  const SenderRewriting rewriting("srs.example.net", {"secret"});
  const Router router(*reader_, clock_, &rewriting);
  const RelayHops hops(router, "127.0.0.1:25");
  const std::string address = rewriting.Rewrite("friend@elsewhere.example", clock_.now);
  const auto hop = hops.Find(address);
  ASSERT_TRUE(std::holds_alternative<NextHop>(hop));
  EXPECT_EQ(std::get<NextHop>(hop).address, "friend@elsewhere.example");
  const auto home = hops.Find(rewriting.Rewrite("user1@example.net", clock_.now));
  ASSERT_TRUE(std::holds_alternative<NextHop>(home));
  EXPECT_EQ(std::get<NextHop>(home).name, "pools/main");
  const auto forged = hops.Find("SRS0=abcd=AA=elsewhere.example=friend@srs.example.net");
  ASSERT_TRUE(std::holds_alternative<NoWay>(forged));
  // One that leads to another one of ours, and so on.
  const std::string second = SenderRewriting("other.example", {"secret"}).Rewrite(address, clock_.now);
  const auto circle = hops.Find(second.substr(0, second.rfind('@')) + "@srs.example.net");
  ASSERT_TRUE(std::holds_alternative<NoWay>(circle));
}

TEST_F(Routing, FollowsTheLifecycleAliasesAndCatchAll) {
  Fill();
  EXPECT_EQ(Say("user1", "example.net"), "local main user1@example.net");
  EXPECT_EQ(Say("USER1", "Example.NET"), "local main user1@example.net");
  EXPECT_EQ(Say("user2", "example.net"), "disabled");
  EXPECT_EQ(Say("user3", "example.net"), "refused");
  EXPECT_EQ(Say("user9", "example.net"), "unknown");
  EXPECT_EQ(Say("user1", "alias.example"), "local main user1@example.net");
  EXPECT_EQ(Say("user9", "alias.example"), "unknown");
  EXPECT_EQ(Say("anybody", "catch.example"), "local main user1@example.net");
  EXPECT_EQ(Say("user1", "elsewhere.example"), "remote");
}

TEST_F(Routing, UnknownIsSaidForGoodOnlyWhileTheCopyIsCurrent) {
  EXPECT_EQ(Say("user1", "example.net"), "deferred");  // no snapshot yet
  Fill();
  EXPECT_EQ(Say("user9", "example.net"), "unknown");
  clock_.now += seconds(61);  // provd was not heard for a minute
  EXPECT_EQ(Say("user9", "example.net"), "deferred");
  EXPECT_EQ(Say("x", "elsewhere.example"), "remote?");
  EXPECT_EQ(Say("user1", "example.net"), "local main user1@example.net");
  EXPECT_EQ(Say("user3", "example.net"), "refused");
  ASSERT_TRUE(writer_->ConfirmHead(v1::RELAY, 2, clock_.now).ok());  // heard, but a write is missing
  EXPECT_EQ(Say("user9", "example.net"), "deferred");
}

TEST_F(Routing, NextHopIsThePoolOfTheMomentOrTheSmarthostOrTheDomain) {
  Fill();
  const RelayHops hops(*router_, "smart.example:25");
  const HopDecision local = hops.Find("User1@alias.example");
  ASSERT_TRUE(std::holds_alternative<NextHop>(local));
  EXPECT_EQ(std::get<NextHop>(local).endpoints, std::vector<std::string>{"127.0.0.1:24"});
  EXPECT_EQ(std::get<NextHop>(local).address, "user1@example.net");
  EXPECT_TRUE(std::get<NextHop>(local).lmtp);
  EXPECT_EQ(std::get<NextHop>(hops.Find("a@other.example")).endpoints.front(), "smart.example:25");
  EXPECT_TRUE(std::get<NoWay>(hops.Find("user9@example.net")).reason.starts_with("550 5.1.1"));
  const HopDecision by_exchangers = RelayHops(*router_, "").Find("a@Other.Example");
  ASSERT_TRUE(std::holds_alternative<NextHop>(by_exchangers));
  EXPECT_EQ(std::get<NextHop>(by_exchangers).domain, "other.example");
  EXPECT_EQ(std::get<NextHop>(by_exchangers).address, "a@Other.Example");
  EXPECT_TRUE(std::get<NextHop>(by_exchangers).endpoints.empty());
  const HopDecision international = RelayHops(*router_, "").Find("a@bücher.example");
  ASSERT_TRUE(std::holds_alternative<NextHop>(international));
  EXPECT_EQ(std::get<NextHop>(international).domain, "xn--bcher-kva.example");
  EXPECT_TRUE(std::holds_alternative<NoWay>(RelayHops(*router_, "").Find("a@[192.0.2.1]")));
  EXPECT_TRUE(std::holds_alternative<NotNow>(FixedHop("").Find("a@other.example")));

  // A list's mail goes to hosts of its pool, by SMTP.
  v1::Record list;
  list.set_key("lists/staff@example.net");
  list.set_revision(2);
  list.mutable_mail_route()->add_addresses("staff@example.net");
  list.mutable_mail_route()->set_pool("lists");
  list.mutable_mail_route()->set_receive(v1::ALLOW);
  v1::Record pool;
  pool.set_key("pools/lists");
  pool.set_revision(2);
  pool.mutable_pool()->set_pool("lists");
  pool.mutable_pool()->set_role(v1::LIST);
  v1::PoolMembers::Member* host = pool.mutable_pool()->add_members();
  host->set_host("list1");
  host->set_weight(1);
  (*host->mutable_endpoints())["smtp"] = "127.0.0.1:2626";
  ASSERT_TRUE(writer_->ApplyBatch(v1::RELAY, state::BatchOf(2, {list, pool})).ok());
  const HopDecision to_list = hops.Find("staff@alias.example");
  ASSERT_TRUE(std::holds_alternative<NextHop>(to_list));
  EXPECT_EQ(std::get<NextHop>(to_list).endpoints, std::vector<std::string>{"127.0.0.1:2626"});
  EXPECT_EQ(std::get<NextHop>(to_list).address, "staff@example.net");
  EXPECT_FALSE(std::get<NextHop>(to_list).lmtp);

  const v1::Batch moved = state::BatchOf(3, {Pool({{"a", 1, true, "127.0.0.1:24"}, {"b", 1, false, ""}})});
  ASSERT_TRUE(writer_->ApplyBatch(v1::RELAY, moved).ok());
  const HopDecision nobody = hops.Find("user1@example.net");
  ASSERT_TRUE(std::holds_alternative<NotNow>(nobody));
  EXPECT_TRUE(std::get<NotNow>(nobody).soon);
}

TEST(PoolOrder, EveryLiveHostIsTriedAndWeightsDecideWhoIsFirst) {
  const v1::PoolMembers pool = Pool({{"a", 1, false, "a:1"},
                                     {"b", 3, false, "b:1"},
                                     {"gone", 9, true, "g:1"},
                                     {"none", 9, false, ""},
                                     {"last", 0, false, "z:1"}})
                                   .pool();
  std::map<std::string, int> first;
  for (uint64_t point = 0; point < 4; ++point) {
    const auto ordered = OrderEndpoints(pool, "lmtp", [&](uint64_t bound) { return point % bound; });
    ASSERT_EQ(ordered.size(), 3u);
    EXPECT_EQ(ordered.back(), "z:1");
    ++first[ordered.front()];
  }
  EXPECT_EQ(first["a:1"], 1);
  EXPECT_EQ(first["b:1"], 3);
}

}  // namespace
}  // namespace prov::route
