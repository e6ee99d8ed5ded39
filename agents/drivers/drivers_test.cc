#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agents/drivers/homes.h"
#include "agents/drivers/maildirs.h"
#include "agents/drivers/routes.h"
#include "agents/drivers/tree_removal.h"
#include "agents/mail/maildir/layout.h"
#include "agents/state/test_records.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

namespace fs = std::filesystem;
using state::AccountRecord;
using state::MailboxRecord;
using state::PendingItem;
using state::TestDirectory;

constexpr uint32_t kLeastUid = 10000;

PendingItem Wanted(const v1::Record& record) { return {.key = record.key(), .record = record}; }
PendingItem Gone(const v1::Record& record) { return {.key = record.key(), .previous = record}; }

struct stat StatOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info;
}

// Apply and Flush, as an applier does them.
absl::Status Do(Driver& driver, PendingItem item) {
  std::vector<Work> works = {{std::move(item), absl::OkStatus()}};
  works[0].status = driver.Apply(works[0].item);
  PROV_RETURN_IF_ERROR(driver.Flush(works));
  return works[0].status;
}

class Drivers : public testing::Test {
 protected:
  std::string Home(const v1::Record& record) const {
    return maildir::MailboxPath(directory_.path(), record.account().home_id()).value();
  }

  TestDirectory directory_;
};

TEST_F(Drivers, MaildirIsMadeOnceKeptWhenClosedAndRemovedWithItsRecord) {
  const auto driver = MakeMaildirDriver({.root = directory_.path()});
  v1::Record record = MailboxRecord(1, 1);
  const std::string path = maildir::MailboxPath(directory_.path(), "box-1").value();
  EXPECT_NE(driver->Inspect(record).value(), "");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(driver->Inspect(record).value(), "");
  std::ofstream(path + "/new/mail") << "text";
  record.mutable_mailbox()->set_closed(true);
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_TRUE(fs::exists(path + "/new/mail"));
  ASSERT_TRUE(Do(*driver, Gone(record)).ok());
  ASSERT_TRUE(Do(*driver, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(path));
}

// A move takes it away; this host's part is to make nothing and, at the end, to lose nothing.
TEST_F(Drivers, LeavingMaildirIsNotMadeAndNotRemovedWithMailInIt) {
  const auto driver = MakeMaildirDriver({.root = directory_.path()});
  v1::Record record = MailboxRecord(1, 1);
  record.mutable_mailbox()->set_leaving(true);
  const std::string path = maildir::MailboxPath(directory_.path(), "box-1").value();
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(driver->Inspect(record).value(), "");
  ASSERT_TRUE(maildir::EnsureMailbox(directory_.path(), "box-1").ok());
  std::ofstream(path + "/new/1.mail") << "somebody's";
  EXPECT_EQ(Do(*driver, Gone(record)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::exists(path + "/new/1.mail"));
  fs::remove(path + "/new/1.mail");
  EXPECT_TRUE(Do(*driver, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Drivers, ManyMaildirsAreMadeTogetherAndOneBadOneHarmsNone) {
  const auto driver = MakeMaildirDriver({.root = directory_.path()});
  std::vector<Work> works;
  constexpr int kMany = 150;  // more than are open at once
  for (int i = 0; i < kMany; ++i) works.push_back({Wanted(MailboxRecord(i, 1)), absl::OkStatus()});
  const std::string taken = maildir::MailboxPath(directory_.path(), "box-70").value();
  fs::create_directories(fs::path(taken).parent_path());
  std::ofstream(taken) << "a file in the way";
  for (Work& work : works) work.status = driver->Apply(work.item);
  ASSERT_TRUE(driver->Flush(works).ok());
  for (int i = 0; i < kMany; ++i) {
    EXPECT_EQ(works[i].status.ok(), i != 70) << i;
    EXPECT_TRUE(i == 70 || driver->Inspect(*works[i].item.record).value().empty()) << i;
  }
}

TEST_F(Drivers, RootMakesMaildirsForTheEnginesUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to act as another user";
  constexpr FileOwner kSpool{54322, 54321};
  ASSERT_EQ(chown(directory_.path().c_str(), kSpool.uid, kSpool.gid), 0);
  const auto driver = MakeMaildirDriver({.root = directory_.path(), .owner = kSpool});
  ASSERT_TRUE(Do(*driver, Wanted(MailboxRecord(1, 1))).ok());
  const std::string path = maildir::MailboxPath(directory_.path(), "box-1").value();
  EXPECT_EQ(StatOf(path + "/new").st_uid, kSpool.uid);
  EXPECT_EQ(StatOf(path + "/..").st_gid, kSpool.gid);
  // And this thread is itself again.
  const std::string own = directory_.path() + "/own";
  ASSERT_EQ(mkdir(own.c_str(), 0700), 0);
  EXPECT_EQ(StatOf(own).st_uid, 0u);
}

// Servers refuse to lock a subscriber into a place that others may write to.
TEST_F(Drivers, HomeThatOthersMayWriteToIsToldAndMended) {
  const auto driver = MakeHomeDriver(FtpHomes(directory_.path(), kLeastUid));
  const v1::Record record = AccountRecord(1, 1, 20001);
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  ASSERT_EQ(chmod(Home(record).c_str(), 0777), 0);
  EXPECT_EQ(driver->Inspect(record).value(), "has mode 0777, not 0755");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(driver->Inspect(record).value(), "");
  fs::remove_all(Home(record) + "/files");
  EXPECT_EQ(driver->Inspect(record).value(), "has no files");
  if (geteuid() != 0) return;
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  ASSERT_EQ(chown(Home(record).c_str(), 20001, 20001), 0);
  EXPECT_EQ(driver->Inspect(record).value(), "belongs to uid 20001");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(StatOf(Home(record)).st_uid, 0u);
}

TEST_F(Drivers, MaildirThatTheEngineMayNotUseIsTold) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to act as another user";
  constexpr FileOwner kSpool{54322, 54321};
  ASSERT_EQ(chown(directory_.path().c_str(), kSpool.uid, kSpool.gid), 0);
  const auto driver = MakeMaildirDriver({.root = directory_.path(), .owner = kSpool});
  const v1::Record record = MailboxRecord(1, 1);
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  const std::string path = maildir::MailboxPath(directory_.path(), "box-1").value();
  ASSERT_EQ(chown((path + "/new").c_str(), 0, 0), 0);
  EXPECT_EQ(driver->Inspect(record).value(), "new cannot be used by its owner");
  ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  EXPECT_EQ(driver->Inspect(record).value(), "cannot be opened by its owner");
}

TEST_F(Drivers, HomeIsOursItsFolderTheSubscribers) {
  const auto driver = MakeHomeDriver(FtpHomes(directory_.path(), kLeastUid));
  const v1::Record record = AccountRecord(1, 1, 20001);
  EXPECT_NE(driver->Inspect(record).value(), "");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(driver->Inspect(record).value(), "");
  const std::string home = Home(record);
  EXPECT_EQ(StatOf(home).st_mode & 07777, 0755u);
  EXPECT_EQ(StatOf(home).st_uid, geteuid());
  EXPECT_EQ(StatOf(home + "/files").st_mode & 07777, 0700u);
  if (geteuid() != 0) return;
  EXPECT_EQ(StatOf(home + "/files").st_uid, 20001u);
  // Another uid does not get it.
  v1::Record other = record;
  other.mutable_account()->set_uid_number(20002);
  EXPECT_FALSE(Do(*driver, Wanted(other)).ok());
  EXPECT_EQ(StatOf(home + "/files").st_uid, 20001u);
}

TEST_F(Drivers, HostileIdsAndUidsReachNoPath) {
  const auto homes = MakeHomeDriver(FtpHomes(directory_.path(), kLeastUid));
  const auto maildirs = MakeMaildirDriver({.root = directory_.path()});
  for (const std::string& id :
       {std::string(".."), std::string("../../x"), std::string("a/b"), std::string("a\0b", 3),
        std::string("a\nb"), std::string(), std::string(65, 'a'), std::string("A")}) {
    v1::Record home = AccountRecord(1, 1, 20001);
    home.mutable_account()->set_home_id(id);
    home.mutable_account()->set_closed(true);
    EXPECT_TRUE(absl::IsInvalidArgument(Do(*homes, Wanted(home)))) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(Do(*homes, Gone(home)))) << id;
    v1::Record mailbox = MailboxRecord(1, 1);
    mailbox.mutable_mailbox()->set_mailbox_id(id);
    EXPECT_TRUE(absl::IsInvalidArgument(Do(*maildirs, Wanted(mailbox)))) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(Do(*maildirs, Gone(mailbox)))) << id;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Do(*homes, Wanted(AccountRecord(1, 1, 0)))));
  EXPECT_TRUE(absl::IsInvalidArgument(Do(*homes, Wanted(AccountRecord(1, 1, kLeastUid - 1)))));
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(Drivers, LinksLeadNobodyOutOfTheRoot) {
  const TestDirectory outside;
  const auto driver = MakeHomeDriver(FtpHomes(directory_.path(), kLeastUid));
  v1::Record record = AccountRecord(1, 1, 20001);
  record.mutable_account()->set_closed(true);
  const std::string home = Home(record);
  fs::create_directories(fs::path(home).parent_path());
  fs::create_directory_symlink(outside.path(), home);
  EXPECT_FALSE(Do(*driver, Wanted(record)).ok());
  EXPECT_FALSE(Do(*driver, Gone(record)).ok());
  EXPECT_TRUE(fs::is_empty(outside.path()));
}

TEST_F(Drivers, AnFtpHomeNotesWhatItsPlanAllows) {
  HomeOptions options = FtpHomes(directory_.path(), kLeastUid);
  options.plan_quota = {{"gold", int64_t{10} << 30}, {"tin", 1 << 20}};
  const auto driver = MakeHomeDriver(options);
  v1::Record record = AccountRecord(1, 1, 20001);
  const std::string note = Home(record) + "/quota";
  record.mutable_account()->set_plan("gold");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(ReadFile(note, 1000).value(), "plan gold\noctets 10737418240\n");
  EXPECT_EQ(fs::status(note).permissions(), fs::perms(0644));
  EXPECT_EQ(driver->Inspect(record).value(), "");
  std::ofstream(note) << "plan gold\noctets 99999999999999\n";
  EXPECT_EQ(driver->Inspect(record).value(), "has another quota than its plan");
  record.mutable_account()->set_plan("tin");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_EQ(ReadFile(note, 1000).value(), "plan tin\noctets 1048576\n");
  // What a killed write left behind is in nobody's way.
  std::ofstream(Home(record) + "/.quota.new") << "half";
  record.mutable_account()->set_plan("unheard-of");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  EXPECT_FALSE(fs::exists(note));
  record.mutable_account()->set_plan("gold");
  ASSERT_TRUE(Do(*driver, Wanted(record)).ok());
  record.mutable_account()->set_closed(true);
  ASSERT_TRUE(Do(*driver, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(Home(record)));
}

TEST_F(Drivers, PurgeRemovesOnlyItsOwnFolderAndOnlyOfTheClosed) {
  const auto ftp = MakeHomeDriver(FtpHomes(directory_.path(), kLeastUid));
  const auto web = MakeHomeDriver(WebHomes(directory_.path(), kLeastUid));
  v1::Record record = AccountRecord(1, 1, 20001);
  ASSERT_TRUE(Do(*ftp, Wanted(record)).ok());
  ASSERT_TRUE(Do(*web, Wanted(record)).ok());
  const std::string home = Home(record);
  std::ofstream(home + "/files/data") << "x";
  // No longer entitled is not purged.
  ASSERT_TRUE(Do(*ftp, Gone(record)).ok());
  EXPECT_TRUE(fs::exists(home + "/files/data"));
  record.mutable_account()->set_closed(true);
  ASSERT_TRUE(Do(*ftp, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(home + "/files"));
  EXPECT_TRUE(fs::exists(home + "/public_html"));
  ASSERT_TRUE(Do(*web, Gone(record)).ok());
  ASSERT_TRUE(Do(*web, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(home));
}

TEST_F(Drivers, TreesOfAnyDepthAreRemovedAndLinksNotFollowed) {
  const TestDirectory outside;
  std::ofstream(outside.path() + "/precious") << "x";
  const FileDescriptor top(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(mkdirat(top.get(), "tree", 0700), 0);
  // Deeper than any path may be long.
  int current = openat(top.get(), "tree", O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 3000; ++depth) {
    ASSERT_EQ(mkdirat(current, "deeper", 0700), 0);
    ASSERT_EQ(symlinkat(outside.path().c_str(), current, "link"), 0);
    const int next = openat(current, "deeper", O_RDONLY | O_DIRECTORY);
    close(current);
    current = next;
  }
  close(current);
  EXPECT_TRUE(RemoveTree(top.get(), "tree").ok());
  EXPECT_TRUE(RemoveTree(top.get(), "tree").ok());
  EXPECT_TRUE(fs::is_empty(directory_.path()));
  EXPECT_TRUE(fs::exists(outside.path() + "/precious"));
}

class Routes : public testing::Test {
 protected:
  void SetUp() override {
    writer_ = state::StateWriter::Open(directory_.path()).value();
    reader_ = state::StateReader::Open(directory_.path()).value();
  }
  TestDirectory directory_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> reader_;
};

TEST_F(Routes, InspectFollowsEveryAddress) {
  const auto driver = MakeRouteDriver(*reader_);
  const v1::Record first = MailboxRecord(1, 1, {"shared@example.net"});
  ASSERT_TRUE(writer_->ApplyBatch(v1::STORE, state::BatchOf(1, {first})).ok());
  EXPECT_EQ(driver->Inspect(first).value(), "");
  // A second one that claims the same address: the first is no longer reached there.
  const v1::Record second = MailboxRecord(2, 2, {"shared@example.net"});
  ASSERT_TRUE(writer_->ApplyBatch(v1::STORE, state::BatchOf(2, {second})).ok());
  EXPECT_NE(driver->Inspect(first).value(), "");
  EXPECT_EQ(driver->Inspect(second).value(), "");
}

}  // namespace
}  // namespace prov::drivers
