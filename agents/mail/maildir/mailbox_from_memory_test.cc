#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/directory.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"
#include "common/file.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

class MailboxFromMemoryTest : public testing::Test {
 protected:
  MailboxFromMemoryTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    // The first session makes the lock's file.
    EXPECT_TRUE(Mailbox::Open(root_, "m-1").ok());
  }
  ~MailboxFromMemoryTest() override { fs::remove_all(root_); }

  void SetUp() override {
    const FileDescriptor root(open(root_.c_str(), O_RDONLY | O_DIRECTORY));
    const auto identity = IdentityOf(root.get());
    if (!identity.ok() || !IsOnLocalDisk(root.get()) || major(identity->device) == 0)
      GTEST_SKIP() << "/tmp is on no local disk that is known";
    ASSERT_NE(FromMemory(), nullptr);
  }

  // The kernel may say for other reasons of its own that it cannot tell without waiting: another rename under
  // way, say. nullptr: it says so each time.
  std::unique_ptr<Mailbox> FromMemory() {
    std::unique_ptr<Mailbox> mailbox;
    for (int i = 0; i < 100 && mailbox == nullptr; ++i) mailbox = Mailbox::OpenFromMemory(root_, "m-1");
    return mailbox;
  }

  void Deliver(std::string_view text) {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "store1"});
    ASSERT_TRUE(delivery.ok()) << delivery.status();
    ASSERT_TRUE((*delivery)->Append(text).ok());
    ASSERT_TRUE((*delivery)->Commit().ok());
  }

  void Put(const std::string& name, std::string_view text) {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
  }

  std::string root_, path_;
};

TEST_F(MailboxFromMemoryTest, IsTheSameMailbox) {
  Deliver("one\r\n");
  Deliver("two\r\n");
  auto whole = Mailbox::Open(root_, "m-1");
  ASSERT_TRUE(whole.ok());
  const std::vector<Message> expected = (*whole)->messages();
  const std::vector<std::string> uidls = {std::string(expected[0].uidl), std::string(expected[1].uidl)};
  whole->reset();
  const auto mailbox = FromMemory();
  ASSERT_NE(mailbox, nullptr);
  ASSERT_EQ(mailbox->messages().size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(mailbox->messages()[i].octets, expected[i].octets);
    EXPECT_EQ(mailbox->messages()[i].uidl, uidls[i]);
  }
  // It is held as any other.
  EXPECT_TRUE(absl::IsAborted(Mailbox::Open(root_, "m-1").status()));
  EXPECT_TRUE(mailbox->Remove({0}).ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(path_ + "/new"), {}), 1);
}

TEST_F(MailboxFromMemoryTest, AMessageIsTheSameAsFromDisk) {
  const std::string text(200'000, 'x');
  Put("new/1700000000.M1P1.h,W=200004", text + "\n.\r");
  const auto mailbox = FromMemory();
  ASSERT_NE(mailbox, nullptr);
  std::unique_ptr<MessageReader> reader;
  for (int i = 0; i < 100 && reader == nullptr; ++i) reader = mailbox->OpenMessageFromMemory(0);
  ASSERT_NE(reader, nullptr);
  std::string read;
  for (;;) {
    // What has gone from memory meanwhile is read from disk: the two may take turns.
    const std::optional<std::string> at_once = reader->ReadFromMemory();
    const std::string piece = at_once ? *at_once : *reader->Read();
    if (piece.empty()) break;
    read += piece;
  }
  EXPECT_EQ(read, text + "\r\n.\r\n");
  EXPECT_EQ(mailbox->OpenMessageFromMemory(1), nullptr);
}

TEST_F(MailboxFromMemoryTest, WhatOpenHasToTellIsLeftToIt) {
  {
    const auto held = Mailbox::Open(root_, "m-1");
    ASSERT_TRUE(held.ok());
    EXPECT_EQ(FromMemory(), nullptr);
  }
  EXPECT_EQ(Mailbox::OpenFromMemory(root_, "m-2"), nullptr);
  EXPECT_FALSE(fs::exists(*MailboxPath(root_, "m-2")));
  EXPECT_EQ(Mailbox::OpenFromMemory(root_, "../m-1"), nullptr);
  EXPECT_EQ(Mailbox::OpenFromMemory(root_ + "/none", "m-1"), nullptr);
}

TEST_F(MailboxFromMemoryTest, WhatIsLeftInTmpIsLeftToOpen) {
  Put("tmp/abandoned", "x");
  EXPECT_EQ(FromMemory(), nullptr);
}

TEST_F(MailboxFromMemoryTest, ASizeThatMustBeCountedIsLeftToOpen) {
  Put("new/1700000000.M1P1.h", "x\n");
  EXPECT_EQ(FromMemory(), nullptr);
}

TEST_F(MailboxFromMemoryTest, ALargeMailboxIsLeftToOpen) {
  const std::string name(200, 'n');
  for (int i = 0; i < 2000; ++i) Put("cur/" + std::to_string(1'700'000'000 + i) + "." + name + ",W=3", "");
  EXPECT_EQ(FromMemory(), nullptr);
  EXPECT_EQ((*Mailbox::Open(root_, "m-1"))->messages().size(), 2000u);
}

TEST_F(MailboxFromMemoryTest, ALinkInPlaceOfTheMailboxIsNotFollowed) {
  fs::rename(path_, root_ + "/elsewhere");
  fs::create_directory_symlink(root_ + "/elsewhere", path_);
  EXPECT_EQ(FromMemory(), nullptr);
  EXPECT_FALSE(Mailbox::Open(root_, "m-1").ok());
}

}  // namespace
}  // namespace prov::maildir
