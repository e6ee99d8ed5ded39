// A server drops the locks of a host that it has not heard from: what then becomes of a session there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "agents/mail/maildir/arrival.h"
#include "agents/mail/maildir/departure.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/maildir/mailbox_lock.h"

namespace {
std::function<void()> after_next_unlink = [] {};
}  // namespace

// In place of libc's: so that something can happen between two files of one removal.
extern "C" int unlinkat(int directory, const char* path, int flags) noexcept {
  const auto result = static_cast<int>(syscall(SYS_unlinkat, directory, path, flags));
  std::exchange(after_next_unlink, [] {})();
  return result;
}

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// As a server does it: the descriptor's owner is not told.
void DropLocks() {
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error).filename() != kLockFile) continue;
    struct flock whole {};
    whole.l_type = F_UNLCK;
    whole.l_whence = SEEK_SET;
    EXPECT_EQ(fcntl(std::stoi(entry.path().filename()), F_OFD_SETLK, &whole), 0);
  }
}

class LostLockTest : public testing::Test {
 protected:
  LostLockTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
    EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
    for (const char* file : {kFirst, kSecond, kSeen}) std::ofstream(path_ + file) << "x\n";
  }
  ~LostLockTest() override { fs::remove_all(root_); }

  absl::StatusOr<std::unique_ptr<Mailbox>> Open() { return Mailbox::Open(root_, "m-1"); }
  bool Has(const std::string& file) { return fs::exists(path_ + file); }

  static constexpr char kFirst[] = "/new/1.first,W=3", kSecond[] = "/new/2.second,W=3",
                        kSeen[] = "/cur/3.seen,W=3:2,S";
  std::string root_, path_;
};

TEST_F(LostLockTest, NothingIsRemovedFromUnderAnotherReader) {
  auto cut_off = *Open();
  DropLocks();
  const auto other = Open();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_TRUE(absl::IsAborted(cut_off->Remove({0, 1})));
  EXPECT_TRUE(absl::IsAborted(cut_off->Expire({}, seconds(0)).status()));
  EXPECT_TRUE(Has(kFirst) && Has(kSecond) && Has(kSeen));
}

TEST_F(LostLockTest, NothingIsMarkedUnderAnotherReader) {
  auto cut_off = *Open();
  DropLocks();
  const auto other = Open();
  EXPECT_TRUE(absl::IsAborted(cut_off->Expire({0}, seconds(3600)).status()));
  EXPECT_TRUE(Has(kFirst));
}

TEST_F(LostLockTest, AMailboxThatNobodyHasIsTakenAgain) {
  auto cut_off = *Open();
  DropLocks();
  {
    auto other = *Open();
    EXPECT_TRUE(other->Remove({1}).ok());
  }
  const absl::Status removed = cut_off->Remove({0});
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(Has(kFirst) || Has(kSecond));
  EXPECT_TRUE(absl::IsAborted(Open().status())) << "it is its own again";
}

TEST_F(LostLockTest, ARemovalStopsAtTheFileAtWhichTheLockIsLost) {
  auto cut_off = *Open();
  absl::StatusOr<std::unique_ptr<Mailbox>> other;
  after_next_unlink = [&] {
    DropLocks();
    other = Open();
  };
  EXPECT_TRUE(absl::IsAborted(cut_off->Remove({0, 1})));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_FALSE(Has(kFirst));
  ASSERT_EQ((*other)->messages().size(), 2u);
  EXPECT_TRUE((*other)->OpenMessage(0).ok());
}

// Its next host may have fetched the message already: removed here, it would come back there.
TEST_F(LostLockTest, NothingIsRemovedFromAMailboxThatHasLeft) {
  auto cut_off = *Open();
  DropLocks();
  ASSERT_TRUE(HoldMailbox(root_, "m-1").ok());
  EXPECT_TRUE(absl::IsUnavailable(cut_off->Remove({0})));
  EXPECT_EQ(ListMessages(root_, "m-1")->size(), 3u);
}

TEST_F(LostLockTest, ARemovalStopsAtTheFileAtWhichTheMailboxLeaves) {
  auto cut_off = *Open();
  after_next_unlink = [&] {
    DropLocks();
    EXPECT_TRUE(HoldMailbox(root_, "m-1").ok());
  };
  EXPECT_TRUE(absl::IsUnavailable(cut_off->Remove({0, 1})));
  EXPECT_EQ(ListMessages(root_, "m-1")->size(), 2u);
}

TEST_F(LostLockTest, NothingIsMarkedInAMailboxThatHasLeft) {
  auto cut_off = *Open();
  DropLocks();
  ASSERT_TRUE(HoldMailbox(root_, "m-1").ok());
  EXPECT_TRUE(absl::IsUnavailable(cut_off->Expire({0}, seconds(3600)).status()));
  const auto there = *ListMessages(root_, "m-1");
  EXPECT_EQ(std::count_if(there.begin(), there.end(), [](const MessageFile& file) { return file.in_cur; }),
            1);
}

TEST_F(LostLockTest, AnArrivalIsLeftToTheHostThatHasIt) {
  auto cut_off = *Arrival::Open(root_, "m-2");
  const MessageFile staged{false, "1.staged,W=3", 2}, half{false, "2.half,W=3", 2};
  EXPECT_TRUE(cut_off->Begin(staged).ok() && cut_off->Append("x\n").ok() && cut_off->Finish().ok());
  DropLocks();
  auto other = *Arrival::Open(root_, "m-2");
  EXPECT_TRUE(other->Begin(half).ok() && other->Append("x\n").ok() && other->Finish().ok());
  EXPECT_TRUE(absl::IsAborted(cut_off->Begin(half))) << "it would empty the file";
  EXPECT_TRUE(absl::IsAborted(cut_off->Commit()));
  EXPECT_TRUE(other->Commit().ok());
  EXPECT_TRUE(absl::IsAborted(cut_off->DropAllBut({})));
  EXPECT_TRUE(absl::IsAborted(cut_off->Adopt()));
  EXPECT_TRUE(other->Adopt().ok());
  const auto there = *MailboxPath(root_, "m-2") + "/new/";
  EXPECT_EQ(fs::file_size(there + half.name), 2u);
  EXPECT_FALSE(fs::exists(there + staged.name));
}

}  // namespace
}  // namespace prov::maildir
