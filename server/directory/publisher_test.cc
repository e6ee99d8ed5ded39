// The publisher against a real slapd; the truth is in memory, so that any record and any fault can be put in.
#include "server/directory/publisher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "common/ldap/connection.h"
#include "server/directory/mapping.h"
#include "server/directory/memory_truth.h"
#include "server/directory/verifier.h"
#include "tests/fixtures/slapd.h"

namespace prov::directory {
namespace {

using ::prov::testing::Slapd;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{60};

class PublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto slapd = Slapd::Start();
    ASSERT_TRUE(slapd.ok()) << slapd.status();
    slapd_ = std::move(*slapd);
    options_.uri = slapd_->ldapi();
    options_.base = slapd_->base();
    options_.bind_dn = slapd_->ServiceDn("publisher");
    options_.password = slapd_->ServicePassword("publisher");
    options_.shortest_retry = milliseconds(20);
    options_.longest_backoff = milliseconds(200);
  }

  void Start() {
    publisher_ = std::make_unique<Publisher>(truth_, truth_, turn_, options_);
    const absl::Status started = publisher_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  void ExpectApplied(uint64_t revision) {
    EXPECT_GE(publisher_->WaitApplied(revision, kPatience), revision) << publisher_->GetStatus().cause;
  }

  // Polls; there is no other way to see a status that needs no write.
  bool Eventually(const std::function<bool(const Publisher::Status&)>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition(publisher_->GetStatus())) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  static VerifyHooks Collecting(std::vector<DirectoryDifference>& differences) {
    VerifyHooks hooks;
    hooks.progress = [&](const Verification&, const std::vector<DirectoryDifference>& found) {
      differences.insert(differences.end(), found.begin(), found.end());
      return absl::OkStatus();
    };
    return hooks;
  }

  void ExpectNoDifference(uint64_t entries) {
    std::vector<DirectoryDifference> differences;
    const auto result = VerifyDirectory(truth_, options_, Collecting(differences));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->entries_compared, entries);
    EXPECT_EQ(result->differing, 0u);
    for (const auto& one : differences) {
      std::string attributes;
      for (const auto& name : one.attributes) attributes += name + " ";
      ADD_FAILURE() << static_cast<int>(one.kind) << " " << one.dn << " " << attributes;
    }
  }

  absl::StatusOr<std::unique_ptr<ldap::Connection>> Bind(const std::string& dn, const std::string& password) {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    if (!connection.ok()) return connection.status();
    if (absl::Status bound = (*connection)->Bind(dn, password); !bound.ok()) return bound;
    return connection;
  }
  absl::Status Login(const std::string& login) {
    return Bind("uid=" + login + ",ou=people,o=prov", "secret").status();
  }
  std::unique_ptr<ldap::Connection> Writer() {
    auto connection = Bind(options_.bind_dn, options_.password);
    return connection.ok() ? std::move(*connection) : nullptr;
  }

  // entryCSN changes with every write to an entry.
  std::map<std::string, std::string> ChangeNumbers() {
    std::map<std::string, std::string> numbers;
    for (const char* below : {"ou=people,o=prov", "ou=domains,o=prov"}) {
      const auto found = Writer()->Search(
          {.base = below, .filter = ldap::Filter::Present("objectClass"), .attributes = {"entryCSN"}});
      for (const ldap::Entry& entry : *found) numbers[entry.dn] = entry.attributes.at("entryCSN").front();
    }
    return numbers;
  }

  std::unique_ptr<Slapd> slapd_;
  MemoryTruth truth_;
  MemoryTurn turn_;
  Publisher::Options options_;
  std::unique_ptr<Publisher> publisher_;
};

model::Domain TestDomain(const std::string& name) {
  model::Domain domain;
  domain.name = name;
  return domain;
}

// Not even as a display name: a DirectoryString is UTF-8 (RFC 4517 section 3.3.6).
model::Subscriber BadSubscriber(int64_t id, const std::string& login) {
  model::Subscriber bad = TestSubscriber(id, login);
  bad.display_name = "\xFF\xFE";
  return bad;
}

TEST_F(PublisherTest, WrongOptionsAreRefusedAtStart) {
  Publisher::Options wrong = options_;
  wrong.uri = "ldap://127.0.0.1";
  EXPECT_EQ(Publisher(truth_, truth_, turn_, wrong).Start().code(), absl::StatusCode::kInvalidArgument);
  wrong = options_;
  wrong.base = "example.net";
  EXPECT_EQ(Publisher(truth_, truth_, turn_, wrong).Start().code(), absl::StatusCode::kInvalidArgument);
  wrong = options_;
  wrong.password = "";
  EXPECT_EQ(Publisher(truth_, truth_, turn_, wrong).Start().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PublisherTest, DirectoryFollowsASubscribersLife) {
  truth_.Put(TestDomain("example.net"));
  Start();
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  ExpectApplied(truth_.Put(alice));
  EXPECT_TRUE(Login(alice.login).ok());
  alice.state = model::State::kSuspended;
  ExpectApplied(truth_.Put(alice));
  EXPECT_EQ(Login(alice.login).code(), absl::StatusCode::kUnauthenticated);
  alice.state = model::State::kActive;
  ExpectApplied(truth_.Put(alice));
  EXPECT_TRUE(Login(alice.login).ok());
  ExpectNoDifference(2);
  alice.state = model::State::kClosed;
  ExpectApplied(truth_.Put(alice));
  EXPECT_EQ(Login(alice.login).code(), absl::StatusCode::kUnauthenticated);
  ExpectApplied(truth_.RemoveDomain("example.net"));
  ExpectNoDifference(0);
  const Publisher::Status status = publisher_->GetStatus();
  EXPECT_TRUE(status.connected);
  EXPECT_EQ(status.cause, "");
  EXPECT_EQ(status.failing_items, 0u);
}

TEST_F(PublisherTest, ListsComeChangeAndGoAndAreComparedToo) {
  model::MailingList list;
  list.address = "staff@example.net";
  list.pool = "lists";
  truth_.Put(TestSubscriber(1, "a@example.net"));
  truth_.Put(list);
  truth_.Put(model::Member{"staff@example.net", "bob@example.org", "lists", {}, 0});
  Start();
  ExpectApplied(truth_.head());
  ExpectNoDifference(2);
  const std::string dn = "mailLocalAddress=staff@example.net,ou=lists,o=prov";
  const auto mail_host = [&]() -> std::string {
    const auto found = Bind(slapd_->ServiceDn("mail"), slapd_->ServicePassword("mail"));
    const auto entries =
        (*found)->Search({.base = "o=prov",
                          .filter = ldap::Filter::Equal("mailLocalAddress", "staff@example.net"),
                          .attributes = {"mailHost"}});
    return entries->empty() ? "" : entries->front().attributes.at("mailHost").front();
  };
  EXPECT_EQ(mail_host(), "lists");
  list.pool = "elsewhere";
  ExpectApplied(truth_.Put(list));
  EXPECT_EQ(mail_host(), "elsewhere");
  ASSERT_TRUE(Writer()->Apply(ldap::Delete{dn}).ok());
  std::vector<DirectoryDifference> differences;
  ASSERT_TRUE(VerifyDirectory(truth_, options_, Collecting(differences)).ok());
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences.front().dn, dn);
  const uint64_t pass = publisher_->RequestPass();
  EXPECT_TRUE(publisher_->WaitPass(pass, kPatience).value_or(false));
  EXPECT_EQ(mail_host(), "elsewhere");
  ExpectApplied(truth_.RemoveMailingList("staff@example.net"));
  EXPECT_EQ(mail_host(), "");
  ExpectNoDifference(1);
}

TEST_F(PublisherTest, StrangeLoginsKeepTheirOwnEntries) {
  Start();
  int64_t id = 0;
  for (const char* login : {"a+b@x.net", "#a@x.net", "a=b@x.net", "{}~@x.net", "o'neil@x.net", "a#@x.net"}) {
    truth_.Put(TestSubscriber(++id, login));
  }
  ExpectApplied(truth_.head());
  ExpectNoDifference(6);
  EXPECT_EQ(publisher_->GetStatus().failing_items, 0u);
}

TEST_F(PublisherTest, LoginOfAPurgedSubscriberIsGivenToAnother) {
  model::Subscriber old = TestSubscriber(1, "alice@example.net");
  Start();
  ExpectApplied(truth_.Put(old));
  old.state = model::State::kPurged;
  truth_.PutAll({old, TestSubscriber(9, "alice@example.net")});
  ExpectApplied(truth_.head());
  ExpectNoDifference(1);
  truth_.Put(old);  // a late change of the old one does the new one no harm
  ExpectApplied(truth_.head());
  ExpectNoDifference(1);
}

TEST_F(PublisherTest, OneBadRecordStopsNobody) {
  Start();
  std::vector<model::Subscriber> all;
  for (int64_t id = 1; id <= 50; ++id) all.push_back(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  all[20] = BadSubscriber(21, "u21@example.net");
  all[30] = BadSubscriber(31, "u31@example.net");
  ExpectApplied(truth_.PutAll(all));
  EXPECT_TRUE(Login("u50@example.net").ok());
  EXPECT_FALSE(Login("u21@example.net").ok());
  Publisher::Status status = publisher_->GetStatus();
  EXPECT_EQ(status.failing_items, 2u);
  ASSERT_EQ(status.failing.size(), 2u);
  EXPECT_EQ(status.failing[0].key, "subscribers/21");
  EXPECT_NE(status.failing[0].error, "");

  // A restart knows what failed, and tries it again.
  options_.shortest_retry = options_.longest_retry = seconds(600);
  Start();
  EXPECT_TRUE(Eventually([](const auto& s) { return s.connected && s.failing_items == 2; }));

  // The change that mends one ends its failing at once; the other fails on.
  ExpectApplied(truth_.Put(TestSubscriber(21, "u21@example.net")));
  EXPECT_TRUE(Login("u21@example.net").ok());
  status = publisher_->GetStatus();
  ASSERT_EQ(status.failing.size(), 1u);
  EXPECT_EQ(status.failing[0].key, "subscribers/31");
}

TEST_F(PublisherTest, RefusedRecordIsTriedAgainByItself) {
  Start();
  ExpectApplied(truth_.head());
  // In the way, and no subscriber: the directory will not make a person of it.
  auto writer = Writer();
  ASSERT_TRUE(Eventually([](const auto& s) { return s.connected && s.cause.empty(); }));
  const ldap::Entry other{"uid=a@x.net,ou=people,o=prov",
                          {{"objectClass", {"account"}}, {"uid", {"a@x.net"}}}};
  ASSERT_TRUE(writer->Apply(ldap::Add{other}).ok());
  ExpectApplied(truth_.Put(TestSubscriber(1, "a@x.net")));
  EXPECT_EQ(publisher_->GetStatus().failing_items, 1u);
  ASSERT_TRUE(writer->Apply(ldap::Delete{other.dn}).ok());
  EXPECT_TRUE(Eventually([](const auto& s) { return s.failing_items == 0; }));
  ExpectNoDifference(1);
}

TEST_F(PublisherTest, ABatchOfBadRecordsIsSetAsideToo) {
  Start();
  std::vector<model::Subscriber> all;
  for (int64_t id = 1; id <= 60; ++id) {
    const std::string login = fmt::format("u{}@example.net", id);
    all.push_back(id % 2 == 0 ? BadSubscriber(id, login) : TestSubscriber(id, login));
  }
  ExpectApplied(truth_.PutAll(all));
  EXPECT_EQ(publisher_->GetStatus().failing_items, 30u);
  EXPECT_TRUE(Login("u59@example.net").ok());
}

TEST_F(PublisherTest, RebuildOfAnUntouchedDirectoryChangesNothing) {
  truth_.Put(TestDomain("example.net"));
  for (int64_t id = 1; id <= 30; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  publisher_->Stop();
  const auto before = ChangeNumbers();
  EXPECT_EQ(before.size(), 33u);
  ASSERT_TRUE(Writer()->Apply(ldap::Delete{"cn=cursor,ou=system,o=prov"}).ok());
  Start();
  ExpectApplied(truth_.head());
  EXPECT_EQ(ChangeNumbers(), before);
}

TEST_F(PublisherTest, DriftIsMendedByAFullPass) {
  for (int64_t id = 1; id <= 30; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  auto writer = Writer();
  ASSERT_TRUE(writer->Apply(ldap::Delete{"uid=u3@example.net,ou=people,o=prov"}).ok());
  ASSERT_TRUE(writer
                  ->Apply(ldap::Modify{"uid=u4@example.net,ou=people,o=prov",
                                       {{ldap::Modification::Kind::kReplace, "mailHost", {"other"}}}})
                  .ok());
  ldap::Entry extra = *SubscriberEntry(TestSubscriber(99, "extra@example.net"),
                                       {.base = "o=prov", .services = {}, .home_prefix = "/h"});
  ASSERT_TRUE(writer->Apply(ldap::Add{extra}).ok());
  std::vector<DirectoryDifference> differences;
  const auto found = VerifyDirectory(truth_, options_, Collecting(differences));
  ASSERT_TRUE(found.ok());
  using Kind = DirectoryDifference::Kind;
  EXPECT_EQ(found->differing, 3u);
  EXPECT_EQ(differences, (std::vector<DirectoryDifference>{
                             {Kind::kMissing, "uid=u3@example.net,ou=people,o=prov", {}},
                             {Kind::kDifferent, "uid=u4@example.net,ou=people,o=prov", {"mailHost"}},
                             {Kind::kExtra, "uid=extra@example.net,ou=people,o=prov", {}}}));
  // The publisher notices by itself that the cursor has gone.
  ASSERT_TRUE(writer->Apply(ldap::Delete{"cn=cursor,ou=system,o=prov"}).ok());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (VerifyDirectory(truth_, options_)->differing > 0 && std::chrono::steady_clock::now() < deadline) {
  }
  ExpectNoDifference(30);
}

TEST_F(PublisherTest, AskedForPassMendsWhatWasChangedByHand) {
  for (int64_t id = 1; id <= 30; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  const auto writer = Writer();
  ASSERT_TRUE(writer->Apply(ldap::Delete{"uid=u3@example.net,ou=people,o=prov"}).ok());
  EXPECT_EQ(VerifyDirectory(truth_, options_)->differing, 1u);
  ASSERT_TRUE(publisher_->WaitPass(publisher_->RequestPass(), kPatience).value());
  ExpectNoDifference(30);
}

TEST_F(PublisherTest, ChangesWhileVerifyingAreNoDifferences) {
  for (int64_t id = 1; id <= 30; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  // Each look at the directory finds records that have changed since the truth was read.
  int changes = 0;
  VerifyHooks hooks;
  std::vector<DirectoryDifference> differences;
  hooks.progress = [&](const Verification&, const std::vector<DirectoryDifference>& found) {
    differences.insert(differences.end(), found.begin(), found.end());
    if (++changes > 1) return absl::OkStatus();
    model::Subscriber one = TestSubscriber(1, "u1@example.net");
    one.store_pool = "elsewhere";
    truth_.Put(one);
    truth_.Put(TestSubscriber(31, "u31@example.net"));
    ExpectApplied(truth_.head());
    return absl::OkStatus();
  };
  hooks.settle = [&](uint64_t revision) {
    return publisher_->WaitApplied(revision, kPatience) >= revision ? absl::OkStatus()
                                                                    : absl::DeadlineExceededError("settle");
  };
  const auto result = VerifyDirectory(truth_, options_, hooks);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->differing, 0u);
  EXPECT_TRUE(differences.empty());
}

TEST_F(PublisherTest, CompactedLogLeadsToAFullPass) {
  model::Subscriber alice = TestSubscriber(1, "alice@example.net");
  truth_.Put(alice);
  Start();
  ExpectApplied(truth_.head());
  publisher_->Stop();
  alice.state = model::State::kPurged;
  truth_.Put(alice);
  truth_.Put(TestSubscriber(2, "bob@example.net"));
  truth_.Compact();
  Start();
  ExpectApplied(truth_.head());
  ExpectNoDifference(1);
}

TEST_F(PublisherTest, WipedDirectoryIsBuiltAnew) {
  for (int64_t id = 1; id <= 30; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  slapd_->Stop();
  EXPECT_TRUE(Eventually([](const auto& s) { return !s.connected && !s.cause.empty(); }));
  ASSERT_TRUE(slapd_->Wipe().ok());
  ASSERT_TRUE(slapd_->StartAgain().ok());
  EXPECT_TRUE(Eventually([](const auto& s) { return s.connected && s.cause.empty(); }));
  ExpectApplied(truth_.Put(TestSubscriber(31, "u31@example.net")));
  ExpectNoDifference(31);
}

TEST_F(PublisherTest, KilledDirectoryLosesNothingAndDoublesNothing) {
  options_.batch_entries = 7;  // many transactions to be caught in
  Start();
  constexpr int kKills = 12;
  constexpr int64_t kBurst = 120;
  for (int64_t kill = 0; kill < kKills; ++kill) {
    const uint64_t before = truth_.head();
    for (int64_t id = kill * kBurst + 1; id <= (kill + 1) * kBurst; ++id) {
      model::Subscriber one = TestSubscriber(id, fmt::format("u{}@example.net", id));
      truth_.Put(one);
      if (id % 3 == 0) {
        one.state = id % 2 == 0 ? model::State::kClosed : model::State::kSuspended;
        truth_.Put(one);
      }
    }
    publisher_->WaitApplied(before + 1, kPatience);
    // Now it is in the middle of the rest; a different moment each time.
    publisher_->WaitApplied(UINT64_MAX, milliseconds(kill));
    slapd_->Kill();
    ASSERT_TRUE(slapd_->StartAgain().ok());
  }
  ExpectApplied(truth_.head());
  ExpectNoDifference(kKills * kBurst - kKills * kBurst / 6);
  EXPECT_EQ(publisher_->GetStatus().failing_items, 0u);
}

TEST_F(PublisherTest, WithoutTransactionsAllIsTheSame) {
  options_.use_transactions = false;
  Start();
  std::vector<model::Subscriber> all;
  for (int64_t id = 1; id <= 20; ++id) all.push_back(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  all[10] = BadSubscriber(11, "u11@example.net");
  ExpectApplied(truth_.PutAll(all));
  EXPECT_EQ(publisher_->GetStatus().failing_items, 1u);
  slapd_->Kill();
  ASSERT_TRUE(slapd_->StartAgain().ok());
  ExpectApplied(truth_.Put(TestSubscriber(11, "u11@example.net")));
  EXPECT_EQ(publisher_->GetStatus().failing_items, 0u);
  ExpectNoDifference(20);
}

TEST_F(PublisherTest, ADirectoryAheadOfTheDatabaseIsLeftAlone) {
  for (int64_t id = 1; id <= 5; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  publisher_->Stop();
  const auto before = ChangeNumbers();
  MemoryTruth restored;
  restored.Put(TestSubscriber(1, "u1@example.net"));
  Publisher other(restored, restored, turn_, options_);
  ASSERT_TRUE(other.Start().ok());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (other.GetStatus().cause.empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  EXPECT_NE(other.GetStatus().cause.find("restored"), std::string::npos) << other.GetStatus().cause;
  EXPECT_EQ(ChangeNumbers(), before);
}

TEST_F(PublisherTest, TooManyRemovalsWaitForAWord) {
  options_.most_removals = 3;
  for (int64_t id = 1; id <= 20; ++id) truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  Start();
  ExpectApplied(truth_.head());
  publisher_->Stop();
  ASSERT_TRUE(Writer()->Apply(ldap::Delete{"cn=cursor,ou=system,o=prov"}).ok());
  MemoryTruth other_truth;
  other_truth.Put(TestSubscriber(1, "u1@example.net"));
  options_.most_removals = 3;
  Publisher wary(other_truth, other_truth, turn_, options_);
  ASSERT_TRUE(wary.Start().ok());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const auto stopped = [&wary] { return wary.GetStatus().cause.find("19 of 20") != std::string::npos; };
  while (!stopped() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(stopped()) << wary.GetStatus().cause;
  EXPECT_EQ(ChangeNumbers().size(), 22u);
  wary.Stop();

  options_.most_removals = 100;
  Publisher bold(other_truth, other_truth, turn_, options_);
  ASSERT_TRUE(bold.Start().ok());
  EXPECT_EQ(bold.WaitApplied(1, kPatience), 1u);
  EXPECT_EQ(ChangeNumbers().size(), 3u);
}

TEST_F(PublisherTest, TooManyRemovalsByChangesWaitForAWordTooAndOthersGoOnAfterIt) {
  constexpr int64_t kSubscribers = 60;
  std::atomic<uint64_t> approved{0};
  options_.most_changed_removals = 20;
  options_.batch_entries = 10;
  options_.approved_removals = [&] { return approved.load(); };
  for (int64_t id = 1; id <= kSubscribers; ++id) {
    truth_.Put(TestSubscriber(id, fmt::format("u{}@example.net", id)));
  }
  Start();
  ExpectApplied(truth_.head());
  publisher_->Stop();
  const auto count = [&] { return ChangeNumbers().size(); };
  const size_t before = count();
  // As after an hour in which half of all were closed by mistake.
  for (int64_t id = 1; id <= kSubscribers / 2; ++id) {
    model::Subscriber closed = TestSubscriber(id, fmt::format("u{}@example.net", id));
    closed.state = model::State::kClosed;
    truth_.Put(closed);
  }
  truth_.Put(TestSubscriber(100, "late@example.net"));
  Start();
  EXPECT_TRUE(Eventually([](const Publisher::Status& status) {
    return status.cause.find("provctl approve directory") != std::string::npos;
  }));
  EXPECT_GE(count(), before - 20);
  EXPECT_FALSE(Login("late@example.net").ok());
  approved = kSubscribers;
  ExpectApplied(truth_.head());
  EXPECT_EQ(count(), before - kSubscribers / 2 + 1);
  EXPECT_TRUE(Login("late@example.net").ok());
}

TEST_F(PublisherTest, ADatabaseAwayIsToldFromADirectoryAway) {
  Start();
  ASSERT_TRUE(Eventually([](const auto& s) { return s.connected && s.cause.empty(); }));
  truth_.SetAway(true);
  truth_.Put(TestSubscriber(1, "a@x.net"));
  EXPECT_TRUE(
      Eventually([](const auto& s) { return s.connected && s.cause.find("database") != std::string::npos; }));
  truth_.SetAway(false);
  ExpectApplied(truth_.head());
  EXPECT_TRUE(Eventually([](const auto& s) { return s.connected && s.cause.empty(); }));
}

TEST_F(PublisherTest, TwoPublishersDoNotHarmEachOther) {
  Start();
  Publisher second(truth_, truth_, turn_, options_);
  ASSERT_TRUE(second.Start().ok());
  for (int64_t id = 1; id <= 300; ++id) {
    model::Subscriber one = TestSubscriber(id, fmt::format("u{}@example.net", id));
    truth_.Put(one);
    one.state = model::State::kSuspended;
    truth_.Put(one);
  }
  ExpectApplied(truth_.head());
  EXPECT_GE(second.WaitApplied(truth_.head(), kPatience), truth_.head());
  ExpectNoDifference(300);
}

TEST_F(PublisherTest, ListenersHearOfEveryStep) {
  std::atomic<uint64_t> heard = 0;
  publisher_ = std::make_unique<Publisher>(truth_, truth_, turn_, options_);
  const uint64_t id =
      publisher_->Subscribe([&heard](const Publisher::Status& s) { heard = s.applied_revision; });
  ASSERT_TRUE(publisher_->Start().ok());
  const uint64_t first = truth_.Put(TestSubscriber(1, "a@x.net"));
  EXPECT_TRUE(Eventually([&](const auto&) { return heard == first; }));
  publisher_->Unsubscribe(id);
  ExpectApplied(truth_.Put(TestSubscriber(2, "b@x.net")));
  EXPECT_EQ(heard, first);
}

TEST_F(PublisherTest, ReadersSeeTheirOwnAttributesOnly) {
  truth_.Put(TestDomain("example.net"));
  truth_.Put(TestSubscriber(1, "alice@example.net"));
  truth_.Put(TestSubscriber(2, "bob@example.net"));
  Start();
  ExpectApplied(truth_.head());
  const auto seen = [this](const std::string& dn, const std::string& password) {
    std::map<std::string, ldap::Values> all;
    auto connection = Bind(dn, password);
    EXPECT_TRUE(connection.ok());
    const auto found =
        (*connection)->Search({.base = "o=prov", .filter = ldap::Filter::Equal("uid", "alice@example.net")});
    if (found.ok() && !found->empty()) all = found->front().attributes;
    return all;
  };
  const auto pam = seen(slapd_->ServiceDn("pam"), slapd_->ServicePassword("pam"));
  EXPECT_TRUE(pam.contains("authorizedService"));
  EXPECT_FALSE(pam.contains("mailLocalAddress"));
  EXPECT_FALSE(pam.contains("userPassword"));
  const auto mail = seen(slapd_->ServiceDn("mail"), slapd_->ServicePassword("mail"));
  EXPECT_TRUE(mail.contains("mailLocalAddress"));
  EXPECT_FALSE(mail.contains("userPassword"));
  EXPECT_TRUE(seen("uid=bob@example.net,ou=people,o=prov", "secret").empty());
  EXPECT_TRUE(seen("uid=alice@example.net,ou=people,o=prov", "secret").empty());

  auto anonymous = ldap::Connection::Open({.uri = slapd_->ldapi()});
  EXPECT_FALSE((*anonymous)->Search({.base = "o=prov", .filter = ldap::Filter::Present("uid")}).ok());
  // The publisher cannot make itself another account.
  EXPECT_FALSE(Writer()->Apply(ldap::Delete{slapd_->ServiceDn("pam")}).ok());
}

}  // namespace
}  // namespace prov::directory
