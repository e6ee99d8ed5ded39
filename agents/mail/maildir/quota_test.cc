#include "agents/mail/maildir/quota.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agents/mail/maildir/layout.h"
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

TEST_F(QuotaTest, LinkInItsPlaceIsReplacedNotFollowed) {
  std::ofstream(root_ + "/precious") << "2000S\n0 0\n";
  fs::create_symlink(root_ + "/precious", path_ + "/maildirsize");
  ASSERT_TRUE(KeepQuota(root_, "m-1", 3000).ok());
  EXPECT_FALSE(fs::is_symlink(path_ + "/maildirsize"));
  EXPECT_EQ(*ReadFile(root_ + "/precious", 100), "2000S\n0 0\n");
}

}  // namespace
}  // namespace prov::maildir
