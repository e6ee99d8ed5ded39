// A mailbox on its way between two Maildir roots, with real files; only the network between them is left out.
#include "agents/moves/mailbox_arrival.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/departure.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/maildir/quota.h"
#include "agents/moves/testing/near_source.h"
#include "agents/state/test_records.h"

namespace prov::moves {
namespace {

namespace fs = std::filesystem;
using maildir::MessageFile;
using Report = v1::ReportMailboxMoveRequest;

constexpr char kBox[] = "box-1";

class MailboxArrival : public testing::Test {
 protected:
  MailboxArrival() {
    transit_.set_mailbox_id(kBox);
    transit_.set_from_pool("main");
    transit_.set_to_pool("second");
    EXPECT_TRUE(maildir::EnsureMailbox(old_.path(), kBox).ok());
  }

  static absl::StatusOr<std::string> TryDeliver(const std::string& root, std::string_view text) {
    auto delivery = maildir::Delivery::Begin(root, kBox, {.host = "host"});
    if (!delivery.ok()) return delivery.status();
    if (const absl::Status status = (*delivery)->Append(text); !status.ok()) return status;
    return (*delivery)->Commit();
  }
  static std::string Deliver(const std::string& root, std::string_view text) {
    const auto name = TryDeliver(root, text);
    EXPECT_TRUE(name.ok()) << name.status();
    return name.value_or("");
  }

  absl::Status Bring(bool switching) {
    transit_.set_switching(switching);
    reported_.clear();
    return BringMailbox(transit_, {.root = new_.path(),
                                   .owner = {},
                                   .source = &source_,
                                   .report = [&](Report::Step step, uint64_t, uint64_t) {
                                     reported_.insert(step);
                                     return source_.before("report");
                                   }});
  }
  void BringAll() {
    ASSERT_TRUE(Bring(false).ok());
    EXPECT_TRUE(reported_.contains(Report::COPIED));
    const absl::Status status = Bring(true);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(reported_.contains(Report::ARRIVED));
  }

  static std::string PathOf(const std::string& root, const std::string& suffix = "") {
    return *maildir::MailboxPath(root, kBox) + suffix;
  }
  // Texts by "new/NAME" or "cur/NAME".
  static std::map<std::string, std::string> Mail(const std::string& root) {
    std::map<std::string, std::string> mail;
    for (const std::string part : {"new", "cur"}) {
      if (!fs::exists(PathOf(root) + "/" + part)) continue;
      for (const auto& entry : fs::directory_iterator(PathOf(root) + "/" + part)) {
        std::ifstream file(entry.path(), std::ios::binary);
        mail[part + "/" + entry.path().filename().string()] =
            std::string(std::istreambuf_iterator<char>(file), {});
      }
    }
    return mail;
  }
  static std::set<std::string> Texts(const std::string& root) {
    std::set<std::string> texts;
    for (const auto& [name, text] : Mail(root))
      EXPECT_TRUE(texts.insert(text).second) << name << " is there twice";
    return texts;
  }
  static std::set<std::string> Beside(const std::string& root) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(fs::path(PathOf(root)).parent_path()))
      names.insert(entry.path().filename());
    return names;
  }

  state::TestDirectory old_, new_;
  NearSource source_{old_.path(), kBox};
  v1::MailboxTransit transit_;
  std::set<Report::Step> reported_;
};

TEST_F(MailboxArrival, MailComesUnderTheNamesItHad) {
  Deliver(old_.path(), "one\r\n");
  const std::string seen = Deliver(old_.path(), "two\r\n");
  fs::rename(PathOf(old_.path()) + "/new/" + seen, PathOf(old_.path()) + "/cur/" + seen + ":2,S");
  const auto before = Mail(old_.path());
  BringAll();
  EXPECT_EQ(Mail(new_.path()), before);
  EXPECT_EQ(Beside(old_.path()), std::set<std::string>{"box-1.left"});
  EXPECT_EQ(Beside(new_.path()), std::set<std::string>{"box-1"});
}

TEST_F(MailboxArrival, WhatItsReaderChangedMeanwhileIsAsHeLeftIt) {
  const std::string gone = Deliver(old_.path(), "deleted\r\n");
  const std::string read = Deliver(old_.path(), "read\r\n");
  ASSERT_TRUE(Bring(false).ok());
  fs::remove(PathOf(old_.path()) + "/new/" + gone);
  fs::rename(PathOf(old_.path()) + "/new/" + read, PathOf(old_.path()) + "/cur/" + read + ":2,RS");
  const std::string late = Deliver(old_.path(), "late\r\n");
  BringAll();
  EXPECT_EQ(Mail(new_.path()), (std::map<std::string, std::string>{{"cur/" + read + ":2,RS", "read\n"},
                                                                   {"new/" + late, "late\n"}}));
}

// A host that was cut off in the middle of a commit may name what another one is still fetching.
TEST_F(MailboxArrival, AHalfMessageIsNotTakenForTheWhole) {
  const std::string name = Deliver(old_.path(), "the whole of it\r\n");
  ASSERT_TRUE(Bring(false).ok());
  fs::resize_file(PathOf(new_.path(), ".arriving/new/") + name, 5);
  ASSERT_TRUE(Bring(true).ok());
  EXPECT_TRUE(Texts(new_.path()).contains("the whole of it\n"));
}

TEST_F(MailboxArrival, MailThatComesToTheNewPlaceMeanwhileIsKept) {
  Deliver(old_.path(), "old\r\n");
  ASSERT_TRUE(Bring(false).ok());
  Deliver(new_.path(), "new\r\n");
  BringAll();
  EXPECT_EQ(Texts(new_.path()), (std::set<std::string>{"old\n", "new\n"}));
}

// Its lock fences the switch.
TEST_F(MailboxArrival, WaitsForWhoReadsIt) {
  Deliver(old_.path(), "one\r\n");
  ASSERT_TRUE(Bring(false).ok());
  {
    const auto reader = maildir::Mailbox::Open(old_.path(), kBox);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(Bring(true).code(), absl::StatusCode::kAborted);
    EXPECT_FALSE(reported_.contains(Report::ARRIVED));
    EXPECT_EQ(Texts(old_.path()).size(), 1u);
  }
  BringAll();
  EXPECT_EQ(Texts(new_.path()), std::set<std::string>{"one\n"});
}

TEST_F(MailboxArrival, OneHostAtATimeBringsIt) {
  Deliver(old_.path(), "one\r\n");
  absl::Status second;
  bool asked = false;
  source_.before = [&](std::string_view call) {
    if (call != "list" || std::exchange(asked, true)) return absl::OkStatus();
    second = BringMailbox(transit_, {.root = new_.path(), .owner = {}, .source = &source_, .report = {}});
    return absl::OkStatus();
  };
  EXPECT_TRUE(Bring(false).ok());
  EXPECT_EQ(second.code(), absl::StatusCode::kAborted) << second;
}

// It had opened the mailbox before the rename; its message is acknowledged, so it must come along.
TEST_F(MailboxArrival, DeliveryUnderWayAtTheSwitchComesAlongOrIsDeferred) {
  for (const std::string moment : {"list", "fetch", "release"}) {
    Deliver(old_.path(), "first of " + moment + "\r\n");
    ASSERT_TRUE(Bring(false).ok());
    auto delivery = *maildir::Delivery::Begin(old_.path(), kBox, {.host = "host"});
    ASSERT_TRUE(delivery->Append("slow at " + moment + "\r\n").ok());
    bool done = false, acknowledged = false;
    Deliver(old_.path(), "so that there is something to fetch at " + moment + "\r\n");
    source_.before = [&](std::string_view call) {
      if (call == moment && !std::exchange(done, true)) acknowledged = delivery->Commit().ok();
      return absl::OkStatus();
    };
    const absl::Status status = Bring(true);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(acknowledged) << moment;
    EXPECT_TRUE(Texts(new_.path()).contains("slow at " + moment + "\n")) << moment;
    source_.before = [](std::string_view) { return absl::OkStatus(); };
    fs::remove(PathOf(old_.path(), ".left"));
    ASSERT_TRUE(maildir::EnsureMailbox(old_.path(), kBox).ok());
  }
}

TEST_F(MailboxArrival, DeliveryAfterTheMailboxHasGoneIsDeferred) {
  auto slow = *maildir::Delivery::Begin(old_.path(), kBox, {.host = "host"});
  ASSERT_TRUE(slow->Append("slow\r\n").ok());
  BringAll();
  EXPECT_FALSE(slow->Commit().ok());
  const auto next = TryDeliver(old_.path(), "by an old view\r\n");
  EXPECT_EQ(next.status().code(), absl::StatusCode::kUnavailable) << next.status();
  EXPECT_FALSE(fs::exists(PathOf(old_.path())));
}

// Its sum is counted at the new place, where it was begun before the mail was there; nothing of it stays at
// the old one.
TEST_F(MailboxArrival, MailboxWithAQuotaComesWithItsSum) {
  constexpr int64_t kQuota = 1000;
  const auto deliver = [&](const std::string& root) {
    auto delivery = *maildir::Delivery::Begin(root, kBox, {.host = "host", .quota_octets = kQuota});
    EXPECT_TRUE(delivery->Append(std::string(399, 'x') + "\r\n").ok());
    return delivery->Commit();
  };
  ASSERT_TRUE(deliver(old_.path()).ok());
  ASSERT_TRUE(maildir::EnsureMailbox(new_.path(), kBox).ok());
  ASSERT_TRUE(maildir::KeepQuota(new_.path(), kBox, kQuota).ok());
  BringAll();
  EXPECT_FALSE(fs::exists(PathOf(old_.path())));
  EXPECT_TRUE(deliver(new_.path()).ok());
  EXPECT_TRUE(absl::IsOutOfRange(deliver(new_.path()).status()));
}

// Before the mark was there, say by an older release.
TEST_F(MailboxArrival, MailboxMadeAgainAtTheOldPlaceIsTakenAlong) {
  Deliver(old_.path(), "first\r\n");
  ASSERT_TRUE(maildir::HoldMailbox(old_.path(), kBox).ok());
  fs::remove(PathOf(old_.path(), ".left"));
  Deliver(old_.path(), "second\r\n");
  BringAll();
  EXPECT_EQ(Texts(new_.path()), (std::set<std::string>{"first\n", "second\n"}));
}

TEST_F(MailboxArrival, ComesBackToWhereItWas) {
  Deliver(old_.path(), "there\r\n");
  BringAll();
  Deliver(new_.path(), "and back\r\n");
  NearSource back(new_.path(), kBox);
  for (const bool switching : {false, true}) {
    transit_.set_switching(switching);
    const absl::Status status =
        BringMailbox(transit_, {.root = old_.path(), .owner = {}, .source = &back, .report = [](auto...) {
                                  return absl::OkStatus();
                                }});
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(Texts(old_.path()), (std::set<std::string>{"there\n", "and back\n"}));
  Deliver(old_.path(), "mail goes on\r\n");
  EXPECT_EQ(Beside(old_.path()), std::set<std::string>{"box-1"});
}

TEST_F(MailboxArrival, MailboxWithoutMailMoves) {
  BringAll();
  EXPECT_EQ(*maildir::InspectMailbox(new_.path(), kBox), "");
  EXPECT_FALSE(fs::exists(PathOf(old_.path())));
}

TEST_F(MailboxArrival, WhatIsNoMailStopsTheMoveAndIsNamed) {
  Deliver(old_.path(), "one\r\n");
  std::ofstream(PathOf(old_.path()) + "/.procmailrc") << "x";
  ASSERT_TRUE(Bring(false).ok());
  const absl::Status status = Bring(true);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  fs::remove(PathOf(old_.path(), ".leaving") + "/.procmailrc");
  BringAll();
  EXPECT_EQ(Texts(new_.path()), std::set<std::string>{"one\n"});
}

TEST_F(MailboxArrival, HostileNamesBecomeNoFiles) {
  class Hostile final : public TransferSource {
   public:
    explicit Hostile(std::string name) : file_{false, std::move(name), 1} {}
    absl::StatusOr<std::vector<MessageFile>> List() override { return std::vector{file_}; }
    absl::Status Fetch(const std::vector<MessageFile>&, const Sink& sink) override {
      if (const absl::Status status = sink.begin(file_); !status.ok()) return status;
      if (const absl::Status status = sink.append("x"); !status.ok()) return status;
      return sink.end();
    }
    absl::Status Hold() override { return absl::OkStatus(); }
    absl::StatusOr<bool> Release(const std::vector<MessageFile>&) override { return true; }
    MessageFile file_;
  };
  for (const std::string& name :
       {std::string("../../../../escaped"), std::string(".hidden"), std::string("a/b"),
        std::string("nul\0inside", 10), std::string("line\nfeed"), std::string(300, 'x'), std::string()}) {
    Hostile source(name);
    const absl::Status status =
        BringMailbox(transit_, {.root = new_.path(), .owner = {}, .source = &source, .report = [](auto...) {
                                  return absl::OkStatus();
                                }});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << status;
    EXPECT_TRUE(Mail(new_.path()).empty());
  }
}

// The link breaks, or either side dies, at each of its steps in turn; mail comes in all the while.
TEST_F(MailboxArrival, CutOffAtAnyStepNothingIsLostOrTwice) {
  for (int fatal = 0;; ++fatal) {
    std::set<std::string> expected;
    for (int i = 0; i < 3; ++i) {
      const std::string text = "message " + std::to_string(i) + " of round " + std::to_string(fatal);
      Deliver(old_.path(), text + "\r\n");
      expected.insert(text + "\n");
    }
    int calls = 0;
    bool cut = false;
    source_.before = [&](std::string_view) {
      if (calls++ != fatal) return absl::OkStatus();
      cut = true;
      return absl::UnavailableError("cut off");
    };
    for (const bool switching : {false, true}) {
      for (int tries = 0; !Bring(switching).ok(); ++tries) {
        ASSERT_LT(tries, 3) << "after call " << fatal;
        const auto meanwhile = TryDeliver(old_.path(), "meanwhile\r\n");
        if (meanwhile.ok()) expected.insert("meanwhile\n");
      }
    }
    ASSERT_EQ(Texts(new_.path()), expected) << "cut off at call " << fatal;
    EXPECT_EQ(Beside(old_.path()), std::set<std::string>{"box-1.left"});
    for (const auto& entry : fs::directory_iterator(new_.path())) fs::remove_all(entry.path());
    for (const auto& entry : fs::directory_iterator(old_.path())) fs::remove_all(entry.path());
    ASSERT_TRUE(maildir::EnsureMailbox(old_.path(), kBox).ok());
    if (!cut) break;
  }
}

}  // namespace
}  // namespace prov::moves
