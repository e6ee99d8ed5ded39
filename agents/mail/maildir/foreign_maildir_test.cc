// What Dovecot, Courier, a person with mv, and sheer size leave in a Maildir.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"
#include "common/file.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

class ForeignMaildirTest : public testing::Test {
 protected:
  ForeignMaildirTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  }
  ~ForeignMaildirTest() override { fs::remove_all(root_); }

  void Put(const std::string& name, const std::string& text) { std::ofstream(path_ + "/" + name) << text; }

  // "octets uidl" of each.
  std::vector<std::string> Listing() {
    std::vector<std::string> lines;
    const auto mailbox = Mailbox::Open(root_, "m-1");
    EXPECT_TRUE(mailbox.ok()) << mailbox.status();
    for (const Message& message : (*mailbox)->messages())
      lines.push_back(std::to_string(message.octets) + " " + std::string(message.uidl));
    return lines;
  }

  std::string root_, path_;
};

TEST_F(ForeignMaildirTest, DovecotsNamesAndFiles) {
  for (const char* file :
       {"dovecot-uidlist", "dovecot-uidlist.lock", "dovecot.index.log", "dovecot.index.cache",
        "dovecot-keywords", "dovecot-uidvalidity", "dovecot-uidvalidity.4c0679b0", "subscriptions"})
    Put(file, "1 V1 N1\n");
  fs::create_directories(path_ + "/.Sent/cur");
  Put(".Sent/cur/9.other", "not in the inbox\n");
  Put("cur/1.M1P1.h,S=4,W=6:2,Sab", "a\nb\n");
  Put("cur/2.M1P1.h,S=4:2,RSc", "a\nb\n");
  Put("new/3.M1P1.h,S=2,W=3", "a\n");
  EXPECT_EQ(Listing(),
            (std::vector<std::string>{"6 1.M1P1.h,S=4,W=6", "6 2.M1P1.h,S=4", "3 3.M1P1.h,S=2,W=3"}));
}

TEST_F(ForeignMaildirTest, CouriersNamesAndFiles) {
  for (const char* file :
       {"courierimapuiddb", "courierpop3dsizelist", "courierimapsubscribed", "maildirfolder"})
    Put(file, "1\n");
  for (const char* directory : {"courierimapkeywords", "courierimaphieracl"})
    fs::create_directory(path_ + "/" + directory);
  Put("cur/1700000001.M1P1V00A0I00B0_0.h,S=4:2,S", "a\nb\n");
  EXPECT_EQ(Listing(), std::vector<std::string>{"6 1700000001.M1P1V00A0I00B0_0.h,S=4"});
}

TEST_F(ForeignMaildirTest, WhatAPersonWithMvLeaves) {
  Put("cur/1.no-info", "a\n");
  Put("new/2.with-info:2,S", "a\n");
  Put("cur/3.odd info!2,S", "a\n");
  Put("cur/mail.txt", "a\n");
  Put("cur/with\nline end", "a\n");
  Put("cur/-rf", "a\n");
  Put("cur/" + std::string(255, 'x'), "a\n");
  Put("outside", "a\n");
  fs::create_symlink(path_ + "/outside", path_ + "/cur/4.link");
  fs::create_hard_link(path_ + "/outside", path_ + "/cur/5.hard");
  fs::create_directories(path_ + "/cur/cur");
  ASSERT_EQ(mkfifo((path_ + "/new/6.fifo").c_str(), 0600), 0);
  const auto lines = Listing();
  EXPECT_EQ(lines.size(), 8u);
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 8u) << "ids are one each";
  for (const std::string& line : lines) {
    EXPECT_TRUE(line.starts_with("3 ")) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
  EXPECT_EQ(Listing(), lines);
}

TEST_F(ForeignMaildirTest, InBothNewAndCurIsOneMessage) {
  Put("new/1.twice,W=3", "a\n");
  Put("cur/1.twice,W=3:2,S", "a\n");
  EXPECT_EQ(Listing().size(), 1u);
  const auto mailbox = Mailbox::Open(root_, "m-1");
  EXPECT_TRUE((*mailbox)->OpenMessage(0).ok());
}

TEST_F(ForeignMaildirTest, ASizeThatTheNameDoesNotTellIsCountedOnce) {
  Put("cur/1.a:2,", "a\nb\n");
  Put("cur/2.b,S=9:2,", "a\rb\n");
  EXPECT_EQ(Listing(), (std::vector<std::string>{"6 1.a", "6 2.b,S=9"}));
  // What is remembered is what is told: another answer can only come from there.
  ASSERT_TRUE(ReplaceFile(path_ + "/prov-sizes", "777 4 1.a\n888 4 2.b,S=9\n", 0600).ok());
  EXPECT_EQ(Listing(), (std::vector<std::string>{"777 1.a", "888 2.b,S=9"}));
  // Over a rename of flags too; and a file of another length is another one.
  fs::rename(path_ + "/cur/1.a:2,", path_ + "/cur/1.a:2,S");
  Put("cur/2.b,S=9:2,", "longer\n");
  EXPECT_EQ(Listing(), (std::vector<std::string>{"777 1.a", "8 2.b,S=9"}));
  fs::remove(path_ + "/cur/1.a:2,S");
  Listing();
  EXPECT_EQ(*ReadFile(path_ + "/prov-sizes", 1000), "8 7 2.b,S=9\n") << "what is gone is forgotten";
}

TEST_F(ForeignMaildirTest, SizesThatAreSpoiltAreCountedAnew) {
  Put("cur/1.a:2,", "a\n");
  for (const char* spoilt :
       {"", "x", "3", "3 2", "3 2 ", "999999999999999999999 2 1.a\n", "\n\n\n", "7 2 1.a"}) {
    Put("prov-sizes", spoilt);
    EXPECT_EQ(Listing(), std::vector<std::string>{"3 1.a"}) << spoilt;
  }
  fs::remove(path_ + "/prov-sizes");
  fs::create_symlink("/etc/passwd", path_ + "/prov-sizes");
  EXPECT_EQ(Listing(), std::vector<std::string>{"3 1.a"});
  fs::remove(path_ + "/prov-sizes");
  fs::create_directory(path_ + "/prov-sizes");
  EXPECT_EQ(Listing(), std::vector<std::string>{"3 1.a"})
      << "it cannot be kept, and mail is read all the same";
}

TEST_F(ForeignMaildirTest, NamesThatTellTheirSizeLeaveNoFile) {
  Put("cur/1.a,W=3:2,", "a\n");
  Listing();
  EXPECT_FALSE(fs::exists(path_ + "/prov-sizes"));
}

size_t Allocated() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST_F(ForeignMaildirTest, ALargeMailboxTakesLittleMoreThanItsNames) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator tells mallinfo2 nothing";
#endif
  constexpr size_t kMany = 20'000;
  size_t name_octets = 0;
  for (size_t i = 0; i < kMany; ++i) {
    const std::string name = fmt::format("{}.M{:06}P1Q{}.store1,S=1355,W=1394", 1'700'000'000 + i, i, i);
    name_octets += name.size();
    // Links of one file are as good as files.
    if (i == 0) Put("cur/" + name, "x\n");
    if (i > 0) fs::create_hard_link(path_ + "/first", path_ + (i % 2 == 0 ? "/new/" : "/cur/") + name);
    if (i == 0) fs::rename(path_ + "/cur/" + name, path_ + "/first");
  }
  const size_t before = Allocated();
  const auto mailbox = Mailbox::Open(root_, "m-1");
  ASSERT_TRUE(mailbox.ok()) << mailbox.status();
  ASSERT_EQ((*mailbox)->messages().size(), kMany - 1);
  const size_t each = (Allocated() - before - name_octets) / kMany;
  EXPECT_LE(each, 64u);
  RecordProperty("octets_each_besides_the_name", static_cast<int>(each));
}

}  // namespace
}  // namespace prov::maildir
