#include "agents/mail/maildir/listing_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

class ListingMemoryTest : public testing::Test {
 protected:
  ListingMemoryTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    Fill("m-1");
    Settle("m-1");
  }
  ~ListingMemoryTest() override { fs::remove_all(root_); }

  std::string Path(const std::string& id) { return *MailboxPath(root_, id); }

  void Fill(const std::string& id) {
    ASSERT_TRUE(EnsureMailbox(root_, id).ok());
    for (size_t i = 0; i < ListingMemory::kFewestMessages; ++i) {
      std::ofstream(Path(id) + "/cur/" + std::to_string(1'700'000'000 + i) + ".M1P1.h,W=3:2,") << "x\n";
    }
  }

  // Until nothing has happened there for as long as it takes: some seconds of the file system's clock,
  // whoever is quick.
  void Settle(const std::string& id) {
    while (!TimesOf(id).settled) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  DirectoryTimes TimesOf(const std::string& id) {
    const FileDescriptor fresh(open((Path(id) + "/new").c_str(), O_RDONLY | O_DIRECTORY));
    const FileDescriptor cur(open((Path(id) + "/cur").c_str(), O_RDONLY | O_DIRECTORY));
    return *DirectoryTimes::Read({-1, fresh.get(), cur.get()});
  }

  std::unique_ptr<Mailbox> Open(const std::string& id = "m-1") {
    auto mailbox = Mailbox::Open(root_, id, std::chrono::seconds(0), &memory_);
    EXPECT_TRUE(mailbox.ok()) << mailbox.status();
    return *std::move(mailbox);
  }

  // Sessions of one listing share it.
  const Message* ListingOf(const std::string& id = "m-1") { return Open(id)->messages().data(); }

  std::string root_;
  ListingMemory memory_;
};

TEST_F(ListingMemoryTest, WhatDidNotChangeIsNotReadAgain) {
  const Message* const first = ListingOf();
  EXPECT_EQ(ListingOf(), first);
  EXPECT_GT(memory_.octets(), 0u);
}

TEST_F(ListingMemoryTest, NewMailIsSeen) {
  ListingOf();
  auto delivery = Delivery::Begin(root_, "m-1", {.host = "store1"});
  ASSERT_TRUE(delivery.ok() && (*delivery)->Append("new\r\n").ok() && (*delivery)->Commit().ok());
  EXPECT_EQ(Open()->messages().size(), ListingMemory::kFewestMessages + 1);
}

TEST_F(ListingMemoryTest, WhatASessionRemovesIsGoneInTheNext) {
  ListingOf();
  auto first = Open();
  const std::string second_uidl(first->messages()[1].uidl);
  ASSERT_TRUE(first->Remove({0}).ok());
  first.reset();
  const auto mailbox = Open();
  ASSERT_EQ(mailbox->messages().size(), ListingMemory::kFewestMessages - 1);
  EXPECT_EQ(mailbox->messages()[0].uidl, second_uidl);
}

// The next change may come in the same tick of the clock, and leave the time as it is.
TEST_F(ListingMemoryTest, WhatHasJustChangedIsNotKept) {
  std::ofstream(Path("m-1") + "/new/1800000000.M1P1.h,W=3") << "x\n";
  ListingOf();
  EXPECT_EQ(memory_.octets(), 0u);
}

TEST_F(ListingMemoryTest, WhatIsReadWithoutItsSizeIsNotKept) {
  std::ofstream(Path("m-1") + "/cur/1800000000.M1P1.h") << "x\n";
  Settle("m-1");
  ListingOf();
  EXPECT_EQ(memory_.octets(), 0u);
}

// A session follows what other programs rename; those that share its listing are not touched by that.
TEST_F(ListingMemoryTest, AMessageThatMovedIsFollowedByTheSessionAlone) {
  const auto mailbox = Open();
  const auto shared = memory_.Find(TimesOf("m-1"));
  ASSERT_NE(shared, nullptr);
  const std::string moved = Path("m-1") + "/cur/1700000000.M1P1.h,W=3:2,S";
  fs::rename(Path("m-1") + "/cur/1700000000.M1P1.h,W=3:2,", moved);
  EXPECT_TRUE(mailbox->OpenMessage(0).ok());
  EXPECT_TRUE(mailbox->OpenMessage(0).ok());
  EXPECT_EQ(shared->entries[0].name, "1700000000.M1P1.h,W=3:2,");
  ASSERT_TRUE(mailbox->Remove({0}).ok());
  EXPECT_FALSE(fs::exists(moved));
}

// A copy by rsync, say, gives a directory the time that it has elsewhere.
TEST_F(ListingMemoryTest, NewMailIsSeenWhereTheTimeIsSetBack) {
  struct stat before;
  ASSERT_EQ(stat((Path("m-1") + "/new").c_str(), &before), 0);
  ListingOf();
  std::ofstream(Path("m-1") + "/new/1800000000.M1P1.h,W=3") << "x\n";
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, (Path("m-1") + "/new").c_str(), times, 0), 0);
  EXPECT_EQ(Open()->messages().size(), ListingMemory::kFewestMessages + 1);
}

TEST_F(ListingMemoryTest, TheOneNotAskedForLongestMakesRoom) {
  ListingOf();
  const size_t of_one = memory_.octets();
  for (const std::string id : {"m-2", "m-3"}) Fill(id);
  for (const std::string id : {"m-2", "m-3"}) Settle(id);
  ListingMemory two(2 * of_one + of_one / 2);
  const auto ask = [&](const std::string& id) {
    return (*Mailbox::Open(root_, id, std::chrono::seconds(0), &two))->messages().data();
  };
  const Message* const first = ask("m-1");
  ask("m-2");
  EXPECT_EQ(ask("m-1"), first);
  ask("m-3");  // in place of m-2
  EXPECT_EQ(ask("m-1"), first);
  EXPECT_LE(two.octets(), 2 * of_one + of_one / 2);
}

}  // namespace
}  // namespace prov::maildir
