#include "agents/mail/maildir/quota.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/maildir/quota_share.h"
#include "common/file.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

TEST(MaildirSizeText, SaysTheLimitAndTheSumOfItsLines) {
  const auto size = ParseMaildirSize("1000000S,1000C\n      300 2\n-100 -1\n50 1\n");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->limit, (QuotaLimit{.octets = 1000000, .messages = 1000}));
  EXPECT_EQ(size->usage.octets, 250);
  EXPECT_EQ(size->usage.messages, 2);
  EXPECT_EQ(FormatMaildirSize(*size), "1000000S,1000C\n250 2\n");
  EXPECT_EQ(ParseMaildirSize("5C\n0 0\n")->limit, (QuotaLimit{.octets = 0, .messages = 5}));
}

TEST(MaildirSizeText, WhatIsCutOffOrMakesNoSenseIsCountedAnew) {
  for (const std::string& text :
       {std::string(), std::string("1000S"), std::string("1000S\n10 1\n20"), std::string("1000X0\n10 1\n"),
        std::string("-5S\n"), std::string("1000S\n-10 1\n"), std::string("1000S\nten 1\n"),
        std::string("1000S\n9223372036854775807 1\n"),
        std::string("1000S\n") + std::string(6000, '1') + "\n"}) {
    EXPECT_FALSE(ParseMaildirSize(text).ok()) << text.substr(0, 40);
  }
}

class QuotaTest : public testing::Test {
 protected:
  QuotaTest() {
    char name[] = "/tmp/quotaXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  }
  ~QuotaTest() override { fs::remove_all(root_); }
  void Put(const std::string& name, std::string_view text) {
    fs::create_directories(fs::path(path_ + "/" + name).parent_path());
    std::ofstream(path_ + "/" + name) << text;
  }
  // A message of so many octets as they lie there.
  absl::StatusOr<std::string> Deliver(size_t octets, int64_t quota) {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "h", .quota_octets = quota});
    EXPECT_TRUE(delivery.ok()) << delivery.status();
    EXPECT_TRUE((*delivery)->Append(std::string(octets - 1, 'x') + "\r\n").ok());
    return (*delivery)->Commit();
  }
  size_t Files(const std::string& part) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_ + part), fs::directory_iterator()));
  }
  Usage Sum() { return ParseMaildirSize(Says()).value_or(MaildirSize{.usage = {-1, -1}}).usage; }
  std::string Says() { return ReadFile(path_ + "/maildirsize", 1000).value_or("nothing"); }

  std::string root_, path_;
};

TEST_F(QuotaTest, CountsMessagesOfAllFoldersButTheTrash) {
  Put("new/1.a,S=100,W=110", "not so long");
  Put("cur/2.a:2,S", "12345");
  Put("cur/3.a,S=1000:2,ST", "");
  Put(".Sent/cur/4.a,S=20:2,S", "");
  Put(".Trash/cur/5.a,S=5000:2,S", "");
  Put("tmp/6.a", "under way");
  ASSERT_TRUE(KeepQuota(root_, "m-1", 2000).ok());
  EXPECT_EQ(Says(), "2000S\n125 3\n");
}

TEST_F(QuotaTest, LimitThatStandsIsLeftWithWhatOthersWroteToIt) {
  ASSERT_TRUE(KeepQuota(root_, "m-1", 2000).ok());
  std::ofstream(path_ + "/maildirsize", std::ios::app) << "77 1\n";
  ASSERT_TRUE(KeepQuota(root_, "m-1", 2000).ok());
  EXPECT_EQ(Says(), "2000S\n0 0\n77 1\n");
  EXPECT_EQ(InspectQuota(root_, "m-1", 2000).value(), "");
  EXPECT_EQ(InspectQuota(root_, "m-1", 3000).value(), "maildirsize says quota 2000S, not quota 3000S");
  ASSERT_TRUE(KeepQuota(root_, "m-1", 3000).ok());
  EXPECT_EQ(Says(), "3000S\n0 0\n");
}

TEST_F(QuotaTest, NoLimitIsNoFile) {
  ASSERT_TRUE(KeepQuota(root_, "m-1", 2000).ok());
  ASSERT_TRUE(KeepQuota(root_, "m-1", 0).ok());
  ASSERT_TRUE(KeepQuota(root_, "m-1", 0).ok());
  EXPECT_EQ(Says(), "nothing");
  EXPECT_EQ(InspectQuota(root_, "m-1", 0).value(), "");
}

TEST_F(QuotaTest, FullMailboxTakesWhatFitsAndRefusesTheRest) {
  EXPECT_TRUE(Deliver(600, 1000).ok());
  EXPECT_TRUE(absl::IsOutOfRange(Deliver(401, 1000).status()));
  EXPECT_TRUE(Deliver(400, 1000).ok());
  EXPECT_TRUE(absl::IsOutOfRange(Deliver(1, 1000).status()));
  EXPECT_EQ(Files("/new"), 2u);
  EXPECT_EQ(Files("/tmp"), 0u);
  EXPECT_EQ(Sum().octets, 1000);
  EXPECT_EQ(Sum().messages, 2);
  EXPECT_TRUE(absl::IsOutOfRange(Deliver(2000, 1000).status())) << "larger than the mailbox may ever be";
}

TEST_F(QuotaTest, WhatPop3DeletesIsRoomAgain) {
  ASSERT_TRUE(Deliver(600, 1000).ok());
  ASSERT_TRUE(Deliver(400, 1000).ok());
  {
    auto mailbox = Mailbox::Open(root_, "m-1");
    ASSERT_TRUE(mailbox.ok());
    ASSERT_TRUE((*mailbox)->Remove({0, 1}).ok());
  }
  EXPECT_EQ(Sum().octets, 0);
  EXPECT_EQ(Sum().messages, 0);
  EXPECT_TRUE(Deliver(1000, 1000).ok());
}

// Another program took messages away and counted nothing.
TEST_F(QuotaTest, NobodyIsRefusedByAnOldSum) {
  ASSERT_TRUE(Deliver(600, 1000).ok());
  ASSERT_TRUE(Deliver(400, 1000).ok());
  fs::remove_all(path_ + "/new");
  fs::create_directory(path_ + "/new");
  EXPECT_TRUE(Deliver(1000, 1000).ok());
  EXPECT_EQ(Sum().octets, 1000);
}

TEST_F(QuotaTest, FileThatIsGoneOrMakesNoSenseIsCountedAnew) {
  ASSERT_TRUE(Deliver(600, 1000).ok());
  for (const char* text : {"nonsense", ""}) {
    std::ofstream(path_ + "/maildirsize") << text;
    EXPECT_TRUE(absl::IsOutOfRange(Deliver(500, 1000).status())) << text;
    EXPECT_EQ(Sum().octets, 600) << text;
  }
  fs::remove(path_ + "/maildirsize");
  EXPECT_TRUE(absl::IsOutOfRange(Deliver(500, 1000).status()));
}

// A full mailbox is not walked for each message that comes to it.
TEST_F(QuotaTest, CountThatIsNewIsGoodEnough) {
  Put("new/1.a,S=900", "");
  ASSERT_TRUE(absl::IsOutOfRange(Deliver(500, 1000).status()));
  fs::remove(path_ + "/new/1.a,S=900");
  EXPECT_TRUE(absl::IsOutOfRange(Deliver(500, 1000).status())) << "counted a moment ago";
  const timespec old[2] = {{.tv_sec = time(nullptr) - 15 * 60, .tv_nsec = 0},
                           {.tv_sec = time(nullptr) - 15 * 60, .tv_nsec = 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (path_ + "/maildirsize").c_str(), old, 0), 0);
  EXPECT_TRUE(Deliver(500, 1000).ok());
}

TEST_F(QuotaTest, MessageThatDoesNotComeIsNotCounted) {
  ASSERT_TRUE(Deliver(100, 1000).ok());
  {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "h", .quota_octets = 1000});
    ASSERT_TRUE(delivery.ok());
    ASSERT_TRUE((*delivery)->Append(std::string(99, 'x') + "\r\n").ok());
    fs::remove_all(path_ + "/new");
    EXPECT_FALSE((*delivery)->Commit().ok());
  }
  EXPECT_EQ(Sum().octets, 100);
  EXPECT_EQ(Sum().messages, 1);
}

TEST_F(QuotaTest, TheSameMessageAgainIsCountedOnce) {
  for (int i = 0; i < 3; ++i) {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "h", .name = "5.x", .quota_octets = 1000});
    ASSERT_TRUE(delivery.ok());
    ASSERT_TRUE((*delivery)->Append(std::string(599, 'x') + "\r\n").ok());
    EXPECT_TRUE((*delivery)->Commit().ok());
  }
  EXPECT_EQ(Sum().octets, 600);
}

TEST_F(QuotaTest, ClonesSideBySideDoNotBothTakeWhatIsLeft) {
  constexpr int kClones = 4, kMessages = 60;
  constexpr int64_t kQuota = 100 * 10;
  ASSERT_TRUE(KeepQuota(root_, "m-1", kQuota).ok());
  for (int clone = 0; clone < kClones; ++clone) {
    if (fork() != 0) continue;
    for (int i = 0; i < kMessages; ++i) Deliver(10, kQuota).IgnoreError();
    _exit(0);
  }
  int status = 0;
  while (wait(&status) > 0) EXPECT_EQ(status, 0);
  const auto there = CountUsage(OpenMailbox(root_, "m-1")->get());
  ASSERT_TRUE(there.ok());
  EXPECT_EQ(there->octets, kQuota) << "no more, and none that fits is refused";
}

TEST_F(QuotaTest, WhoeverHoldsTheLockHoldsNobodyUpForEver) {
  ASSERT_TRUE(KeepQuota(root_, "m-1", 1000).ok());
  const auto mailbox = OpenMailbox(root_, "m-1");
  const auto lock = QuotaLock::Own(mailbox->get());
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(absl::IsUnavailable(Deliver(10, 1000).status())) << "deferred";
}

TEST_F(QuotaTest, LinkInItsPlaceIsReplacedNotFollowed) {
  std::ofstream(root_ + "/precious") << "2000S\n0 0\n";
  fs::create_symlink(root_ + "/precious", path_ + "/maildirsize");
  ASSERT_TRUE(KeepQuota(root_, "m-1", 3000).ok());
  EXPECT_FALSE(fs::is_symlink(path_ + "/maildirsize"));
  EXPECT_EQ(*ReadFile(root_ + "/precious", 100), "2000S\n0 0\n");
}

}  // namespace
}  // namespace prov::maildir
