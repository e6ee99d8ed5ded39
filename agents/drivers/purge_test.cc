// What was purged by mistake, or by a database that was put back, is kept for a while and comes back whole.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "agents/drivers/homes.h"
#include "agents/drivers/maildirs.h"
#include "agents/drivers/purge_worker.h"
#include "agents/drivers/purged_data.h"
#include "agents/drivers/purged_sweep.h"
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
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr milliseconds kGrace = hours(7 * 24);
constexpr system_clock::time_point kNoon{std::chrono::seconds(1796040000)};  // 2026-11-30T12:00:00Z
constexpr const char* kDay = "2026-11-30";

PendingItem Wanted(const v1::Record& record) { return {.key = record.key(), .record = record}; }
PendingItem Gone(const v1::Record& record) { return {.key = record.key(), .previous = record}; }

// Apply and Flush, as an applier does them.
absl::Status Do(Driver& driver, PendingItem item) {
  std::vector<Work> works = {{std::move(item), absl::OkStatus()}};
  works[0].status = driver.Apply(works[0].item);
  PROV_RETURN_IF_ERROR(driver.Flush(works));
  return works[0].status;
}

class FixedClock final : public Clock {
 public:
  system_clock::time_point Now() const override { return kNoon; }
  std::chrono::steady_clock::time_point Monotonic() const override { return {}; }
};

class Purge : public testing::Test {
 protected:
  Purge() : driver_(NewDriver()), path_(maildir::MailboxPath(root(), "box-1").value()) {}

  const std::string& root() const { return directory_.path(); }
  std::unique_ptr<Driver> NewDriver() {
    return MakeMaildirDriver({.root = root(), .purge_grace = kGrace, .clock = &clock_});
  }
  std::string Kept(const std::string& entry) const {
    return fmt::format("{}/{}/{}/{}", root(), kPurgedDirectory, kDay, entry);
  }
  static void Write(const std::string& path) {
    std::ofstream(path) << path;
    ASSERT_TRUE(fs::exists(path));
  }
  PurgedSweep::Result Sweep(PurgedSweep& sweep, milliseconds elapsed) {
    const auto result = sweep.Run(elapsed, [] { return true; });
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(PurgedSweep::Result{});
  }
  // One mailbox with a message, purged.
  void PurgeOne() {
    ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
    Write(path_ + "/new/1.mail");
    ASSERT_TRUE(Do(*driver_, Gone(record_)).ok());
  }

  FixedClock clock_;
  TestDirectory directory_;
  const v1::Record record_ = MailboxRecord(1, 1);
  std::unique_ptr<Driver> driver_;
  const std::string path_;
};

TEST_F(Purge, MailboxIsOutOfServiceAndKeptUnderItsDate) {
  PurgeOne();
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(Kept("box-1/new/1.mail")));
  // Again, as after a kill, or by a clone.
  ASSERT_TRUE(Do(*driver_, Gone(record_)).ok());
  EXPECT_TRUE(fs::exists(Kept("box-1/new/1.mail")));
  EXPECT_FALSE(fs::exists(Kept("box-1.2")));
}

TEST_F(Purge, MailboxThatComesBackHasItsMailAgain) {
  PurgeOne();
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  EXPECT_TRUE(fs::exists(path_ + "/new/1.mail"));
  EXPECT_FALSE(fs::exists(Kept("box-1")));
  EXPECT_EQ(driver_->Inspect(record_).value(), "");
}

// A delivery on a host whose view is newer or older makes it anew.
TEST_F(Purge, MailFromMeanwhileStaysBesideWhatComesBack) {
  PurgeOne();
  ASSERT_TRUE(maildir::EnsureMailbox(root(), "box-1").ok());
  Write(path_ + "/new/2.mail");
  fs::create_directories(Kept("box-1/.Sent/cur"));
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  for (const char* part : {"/new/1.mail", "/new/2.mail", "/.Sent/cur"})
    EXPECT_TRUE(fs::exists(path_ + part)) << part;
}

TEST_F(Purge, MailThatAStrayDeliveryMadeIsKeptAndComesBackToo) {
  PurgeOne();
  ASSERT_TRUE(maildir::EnsureMailbox(root(), "box-1").ok());
  Write(path_ + "/new/2.mail");
  ASSERT_TRUE(Do(*driver_, Gone(record_)).ok());
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(Kept("box-1.2/new/2.mail")));
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  for (const char* part : {"/new/1.mail", "/new/2.mail"}) EXPECT_TRUE(fs::exists(path_ + part)) << part;
  EXPECT_FALSE(fs::exists(Kept("box-1.2")));
}

TEST_F(Purge, MailThatAMoveLeftIsKept) {
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  Write(path_ + "/new/1.mail");
  fs::rename(path_, path_ + ".leaving");
  ASSERT_TRUE(Do(*driver_, Gone(record_)).ok());
  EXPECT_TRUE(fs::exists(Kept("box-1/new/1.mail")));
}

TEST_F(Purge, WithoutGraceItIsRemovedAtOnce) {
  const auto driver = MakeMaildirDriver({.root = root()});
  ASSERT_TRUE(Do(*driver, Wanted(record_)).ok());
  ASSERT_TRUE(Do(*driver, Gone(record_)).ok());
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(fs::exists(root() + "/" + kPurgedDirectory));
}

TEST_F(Purge, LinksAreLeftToWhoMadeThem) {
  const TestDirectory outside;
  fs::create_directories(fs::path(path_).parent_path());
  fs::create_directory_symlink(outside.path(), path_);
  EXPECT_EQ(Do(*driver_, Gone(record_)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::is_symlink(path_));
}

TEST_F(Purge, HomesOfBothRolesAreKeptApartAndComeBack) {
  HomeOptions ftp_options = FtpHomes(root(), 10000), web_options = WebHomes(root(), 10000);
  for (HomeOptions* options : {&ftp_options, &web_options}) {
    options->purge_grace = kGrace;
    options->clock = &clock_;
  }
  const auto ftp = MakeHomeDriver(ftp_options), web = MakeHomeDriver(web_options);
  v1::Record record = AccountRecord(1, 1, 20001);
  ASSERT_TRUE(Do(*ftp, Wanted(record)).ok());
  ASSERT_TRUE(Do(*web, Wanted(record)).ok());
  const std::string home = maildir::MailboxPath(root(), "home-1").value();
  Write(home + "/files/data");
  Write(home + "/public_html/index.html");
  record.mutable_account()->set_closed(true);
  ASSERT_TRUE(Do(*ftp, Gone(record)).ok());
  ASSERT_TRUE(Do(*web, Gone(record)).ok());
  EXPECT_FALSE(fs::exists(home));
  EXPECT_TRUE(fs::exists(Kept("home-1.files/data")));
  EXPECT_TRUE(fs::exists(Kept("home-1.public_html/index.html")));
  ASSERT_TRUE(Do(*ftp, Wanted(record)).ok());
  EXPECT_TRUE(fs::exists(home + "/files/data"));
  EXPECT_FALSE(fs::exists(home + "/public_html"));
  ASSERT_TRUE(Do(*web, Wanted(record)).ok());
  EXPECT_TRUE(fs::exists(home + "/public_html/index.html"));
}

TEST_F(Purge, DataIsRemovedWhenItWasWatchedForTheGrace) {
  PurgeOne();
  PurgedSweep sweep(root(), kGrace);
  EXPECT_EQ(Sweep(sweep, kGrace).waiting, 1u);  // what passed before it was seen does not count
  EXPECT_EQ(Sweep(sweep, kGrace / 2).waiting, 1u);
  EXPECT_EQ(Sweep(sweep, kGrace / 2 - milliseconds(1)).waiting, 1u);
  EXPECT_TRUE(fs::exists(Kept("box-1/new/1.mail")));
  EXPECT_EQ(Sweep(sweep, milliseconds(1)).removed, 1u);
  EXPECT_FALSE(fs::exists(Kept("")));
  EXPECT_EQ(Sweep(sweep, milliseconds(1)).waiting, 0u);
}

TEST_F(Purge, WhatComesIntoADayLaterHasItsWholeTime) {
  PurgeOne();
  PurgedSweep sweep(root(), kGrace);
  Sweep(sweep, milliseconds(0));
  Sweep(sweep, kGrace - milliseconds(1));
  ASSERT_TRUE(Do(*driver_, Wanted(MailboxRecord(2, 1))).ok());
  ASSERT_TRUE(Do(*driver_, Gone(MailboxRecord(2, 1))).ok());
  EXPECT_EQ(Sweep(sweep, milliseconds(1)).waiting, 2u);
  EXPECT_EQ(Sweep(sweep, kGrace - milliseconds(1)).waiting, 2u);
  EXPECT_EQ(Sweep(sweep, milliseconds(1)).removed, 2u);
}

TEST_F(Purge, ClonesCountOnceAndTakeOverFromEachOther) {
  PurgeOne();
  auto first = std::make_unique<PurgedSweep>(root(), kGrace);
  PurgedSweep second(root(), kGrace);
  Sweep(*first, milliseconds(0));
  Sweep(*first, kGrace / 2);
  EXPECT_EQ(Sweep(second, kGrace / 2).waiting, 0u) << "it stands by";
  first.reset();  // as a killed one
  EXPECT_EQ(Sweep(second, kGrace / 2).waiting, 1u) << "this time the first one may have counted already";
  EXPECT_EQ(Sweep(second, kGrace / 2).removed, 1u) << "and what it counted holds";
}

TEST_F(Purge, RemovalThatWasCutShortGoesOnAndGivesNothingHalfBack) {
  PurgeOne();
  for (int i = 2; i <= 5; ++i) {
    ASSERT_TRUE(Do(*driver_, Wanted(MailboxRecord(i, 1))).ok());
    ASSERT_TRUE(Do(*driver_, Gone(MailboxRecord(i, 1))).ok());
  }
  int allowed = 2;
  auto sweep = std::make_unique<PurgedSweep>(root(), milliseconds(0));
  const auto result = sweep->Run(milliseconds(0), [&] { return allowed-- > 0; });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->removed, 2u);
  EXPECT_TRUE(PurgedDays::Open(root())->empty());
  sweep.reset();
  PurgedSweep next(root(), kGrace);
  EXPECT_EQ(Sweep(next, milliseconds(0)).removed, 3u);
}

TEST_F(Purge, UnreadableAgesMakeTheTimeLongerNotShorter) {
  PurgeOne();
  PurgedSweep sweep(root(), kGrace);
  Sweep(sweep, milliseconds(0));
  Sweep(sweep, kGrace - milliseconds(1));
  std::ofstream(root() + "/" + kPurgedDirectory + "/ages") << "\x01\xff 99999999999999999999 nonsense";
  EXPECT_EQ(Sweep(sweep, milliseconds(1)).waiting, 1u);
}

// Processes of their own, as clones are: each does the same records in its own time, over and over.
TEST_F(Purge, ClonesThatPurgeAndBringBackAtOnceLoseNoMail) {
  constexpr int kClones = 4, kRounds = 8, kMailboxes = 3;
  for (int i = 0; i < kMailboxes; ++i) {
    ASSERT_TRUE(Do(*driver_, Wanted(MailboxRecord(i, 1))).ok());
    Write(maildir::MailboxPath(root(), fmt::format("box-{}", i)).value() + "/cur/1.mail");
  }
  std::vector<pid_t> clones;
  for (int clone = 0; clone < kClones; ++clone) {
    clones.push_back(fork());
    ASSERT_GE(clones.back(), 0);
    if (clones.back() != 0) continue;
    const auto driver = NewDriver();
    bool good = true;
    const auto settle = [&](const PendingItem& item) {
      // As the applier: what failed comes again.
      absl::Status status = absl::UnavailableError("not tried");
      for (int attempt = 0; attempt < 1000 && !status.ok(); ++attempt) status = Do(*driver, item);
      if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
      good = good && status.ok();
    };
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kMailboxes; ++i) {
        settle(Gone(MailboxRecord(i, 1)));
        settle(Wanted(MailboxRecord(i, 1)));
      }
    }
    _exit(good ? 0 : 1);
  }
  for (const pid_t clone : clones) {
    int status = 0;
    ASSERT_EQ(waitpid(clone, &status, 0), clone);
    EXPECT_EQ(status, 0);
  }
  for (int i = 0; i < kMailboxes; ++i) {
    ASSERT_TRUE(Do(*driver_, Wanted(MailboxRecord(i, 1))).ok());
    EXPECT_EQ(driver_->Inspect(MailboxRecord(i, 1)).value(), "") << i;
    EXPECT_TRUE(fs::exists(maildir::MailboxPath(root(), fmt::format("box-{}", i)).value() + "/cur/1.mail"))
        << i;
  }
}

TEST_F(Purge, WorkerRemovesInTheBackground) {
  PurgeOne();
  const auto worker = PurgeWorker::Start({{root(), std::nullopt}}, milliseconds(0), SystemClock());
  while (worker->removed() == 0) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_FALSE(fs::exists(Kept("")));
}

class OwnedMaildirs : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    record_.mutable_mailbox()->set_uid_number(20001);
    driver_ = MakeMaildirDriver({.root = directory_.path(), .owned_by_account = true, .least_uid = 10000});
  }
  struct stat StatOf(const std::string& path) const {
    struct stat info = {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info;
  }

  TestDirectory directory_;
  v1::Record record_ = MailboxRecord(1, 1);
  std::unique_ptr<Driver> driver_;
  const std::string path_ = maildir::MailboxPath(directory_.path(), "box-1").value();
};

TEST_F(OwnedMaildirs, BelongToTheirSubscribersWhoMayReachThem) {
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  for (const char* part : {"", "/tmp", "/new", "/cur"}) {
    EXPECT_EQ(StatOf(path_ + part).st_uid, 20001u) << part;
    EXPECT_EQ(StatOf(path_ + part).st_gid, 20001u) << part;
    EXPECT_EQ(StatOf(path_ + part).st_mode & 07777, 0700u) << part;
  }
  EXPECT_EQ(StatOf(path_ + "/..").st_uid, 0u);
  EXPECT_EQ(StatOf(path_ + "/..").st_mode & 07777, 0711u);
  EXPECT_EQ(StatOf(path_ + "/../..").st_mode & 07777, 0711u);
  EXPECT_EQ(driver_->Inspect(record_).value(), "");
}

TEST_F(OwnedMaildirs, AreNotGivenToAnotherAndToNoSystemUser) {
  ASSERT_TRUE(Do(*driver_, Wanted(record_)).ok());
  v1::Record other = record_;
  other.mutable_mailbox()->set_uid_number(20002);
  EXPECT_EQ(driver_->Inspect(other).value(), ". belongs to uid 20001, not to uid 20002");
  EXPECT_EQ(Do(*driver_, Wanted(other)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatOf(path_).st_uid, 20001u);
  for (const uint32_t uid : {0u, 33u, 9999u}) {
    other.mutable_mailbox()->set_uid_number(uid);
    EXPECT_TRUE(absl::IsInvalidArgument(Do(*driver_, Wanted(other)))) << uid;
  }
}

}  // namespace
}  // namespace prov::drivers
