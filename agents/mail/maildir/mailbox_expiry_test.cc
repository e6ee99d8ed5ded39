#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

class MailboxExpiryTest : public testing::Test {
 protected:
  MailboxExpiryTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  }
  ~MailboxExpiryTest() override { fs::remove_all(root_); }

  void Put(const std::string& name) { std::ofstream(path_ + "/" + name) << "x\n"; }
  bool Has(const std::string& name) { return fs::exists(path_ + "/" + name); }

  std::string root_, path_;
};

TEST_F(MailboxExpiryTest, WhatWasSeenBeforeLongEnoughAgoIsRemovedAndNothingElse) {
  Put("cur/1.seen,W=3:2,S");
  Put("cur/2.flagged,W=3:2,FRS");
  Put("cur/3.unseen,W=3:2,F");
  Put("cur/4.bare,W=3");
  Put("new/5.new,W=3");
  Put("cur/6.other,W=3:1,S");
  auto mailbox = *Mailbox::Open(root_, "m-1");
  // So long ago is not even an hour: all stay.
  EXPECT_EQ(*mailbox->Expire({}, seconds(3600)), 0u);
  EXPECT_EQ(*mailbox->Expire({}, seconds(0)), 2u);
  EXPECT_FALSE(Has("cur/1.seen,W=3:2,S") || Has("cur/2.flagged,W=3:2,FRS"));
  for (const char* kept : {"cur/3.unseen,W=3:2,F", "cur/4.bare,W=3", "new/5.new,W=3", "cur/6.other,W=3:1,S"})
    EXPECT_TRUE(Has(kept)) << kept;
}

TEST_F(MailboxExpiryTest, WhatIsFetchedNowStaysForItsTimeAndIsMarked) {
  Put("new/1.new,W=3");
  Put("cur/2.cur,W=3:2,FT");
  Put("cur/3.bare,W=3");
  Put("cur/4.old,W=3:1,F");
  Put("new/5.removed,W=3");
  auto mailbox = *Mailbox::Open(root_, "m-1");
  ASSERT_TRUE(mailbox->Remove({4}).ok());
  EXPECT_EQ(*mailbox->Expire({0, 1, 2, 3, 4}, seconds(0)), 0u);
  for (const char* marked : {"cur/1.new,W=3:2,S", "cur/2.cur,W=3:2,FST", "cur/3.bare,W=3:2,S"})
    EXPECT_TRUE(Has(marked)) << marked;
  EXPECT_TRUE(Has("cur/4.old,W=3:1,F")) << "another kind of information";
  // It can be read and removed under its new name.
  EXPECT_TRUE(mailbox->OpenMessage(0).ok());
  EXPECT_TRUE(mailbox->Remove({0}).ok());
  EXPECT_FALSE(Has("cur/1.new,W=3:2,S"));
}

TEST_F(MailboxExpiryTest, AMarkKeepsTheUidl) {
  Put("new/1.new,W=3,UIDL=abc");
  auto mailbox = *Mailbox::Open(root_, "m-1");
  EXPECT_EQ(mailbox->messages()[0].uidl, "abc");
  EXPECT_TRUE(mailbox->Expire({0}, seconds(60)).ok());
  mailbox.reset();
  EXPECT_EQ((*Mailbox::Open(root_, "m-1"))->messages()[0].uidl, "abc");
}

TEST_F(MailboxExpiryTest, TheDelayRefusesBeforeAnythingIsRead) {
  EXPECT_TRUE(Mailbox::Open(root_, "m-1", seconds(60)).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Mailbox::Open(root_, "m-1", seconds(60)).status()));
  EXPECT_TRUE(Mailbox::Open(root_, "m-1").ok()) << "no delay";
}

// Somebody else's link must not be followed, nor its target's time be set.
TEST_F(MailboxExpiryTest, ALinkInPlaceOfTheLoginTimeIsRefused) {
  std::ofstream(root_ + "/outside") << "x";
  fs::create_symlink(root_ + "/outside", path_ + "/prov-last-login");
  EXPECT_FALSE(Mailbox::Open(root_, "m-1", seconds(60)).ok());
}

}  // namespace
}  // namespace prov::maildir
