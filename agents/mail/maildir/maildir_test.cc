#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "agents/mail/maildir/delivery.h"
#include "agents/mail/maildir/file_name.h"
#include "agents/mail/maildir/layout.h"
#include "agents/mail/maildir/line_end.h"
#include "agents/mail/maildir/mailbox.h"
#include "agents/mail/maildir/wire_text.h"
#include "common/file.h"

namespace prov::maildir {
namespace {

namespace fs = std::filesystem;

class MaildirTest : public testing::Test {
 protected:
  MaildirTest() {
    char name[] = "/tmp/maildirXXXXXX";
    root_ = mkdtemp(name);
    path_ = *MailboxPath(root_, "m-1");
  }
  ~MaildirTest() override { fs::remove_all(root_); }

  std::string Deliver(std::string_view text) {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "store1"});
    EXPECT_TRUE(delivery.ok()) << delivery.status();
    EXPECT_TRUE((*delivery)->Append(text).ok());
    const auto name = (*delivery)->Commit();
    EXPECT_TRUE(name.ok()) << name.status();
    return name.value_or("");
  }

  std::vector<std::string> Names(const std::string& part) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_ + "/" + part))
      names.push_back(entry.path().filename());
    return names;
  }

  void Put(const std::string& part, const std::string& name, std::string_view text) {
    ASSERT_TRUE(EnsureMailbox(root_, "m-1").ok());
    std::ofstream(path_ + "/" + part + "/" + name, std::ios::binary) << text;
  }

  std::unique_ptr<Mailbox> Open() {
    auto mailbox = Mailbox::Open(root_, "m-1");
    EXPECT_TRUE(mailbox.ok()) << mailbox.status();
    return *std::move(mailbox);
  }

  static std::string Text(Mailbox& mailbox, size_t index) {
    auto reader = mailbox.OpenMessage(index);
    if (!reader.ok()) return reader.status().ToString();
    std::string text;
    for (;;) {
      const auto piece = (*reader)->Read();
      if (!piece.ok() || piece->empty()) return text;
      text += *piece;
    }
  }

  std::string root_, path_;
};

TEST_F(MaildirTest, IdsThatAreNoFileNamesAreRefused) {
  for (const std::string id : {"", "..", "a/b", "A", "a.b", "a b", "-_", "../../etc"}) {
    EXPECT_EQ(MailboxPath(root_, id).status().code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_FALSE(EnsureMailbox(root_, id).ok()) << id;
    EXPECT_FALSE(RemoveMailbox(root_, id).ok()) << id;
  }
  EXPECT_TRUE(MailboxPath(root_, std::string(64, 'a')).ok());
  EXPECT_FALSE(MailboxPath(root_, std::string(65, 'a')).ok());
}

TEST_F(MaildirTest, PlacesOfMailboxesNeverChange) {
  // Mail lies there: another hash would lose it.
  EXPECT_EQ(*MailboxPath("/r", "m-1"), "/r/bc/43/m-1");
}

TEST_F(MaildirTest, EnsureAndRemoveMayBeRepeated) {
  EXPECT_NE(*InspectMailbox(root_, "m-1"), "");
  EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  EXPECT_EQ(*InspectMailbox(root_, "m-1"), "");
  fs::remove(path_ + "/cur");
  EXPECT_NE(*InspectMailbox(root_, "m-1"), "");
  EXPECT_TRUE(EnsureMailbox(root_, "m-1").ok());
  EXPECT_EQ(*InspectMailbox(root_, "m-1"), "");
  Deliver("a\r\n");
  fs::create_directories(path_ + "/.Sent/cur");
  Put(".Sent/cur", "x", "y");
  EXPECT_TRUE(RemoveMailbox(root_, "m-1").ok());
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(RemoveMailbox(root_, "m-1").ok());
  EXPECT_TRUE(RemoveMailbox(root_, "never-was").ok());
}

TEST_F(MaildirTest, RemovalNeverFollowsLinks) {
  ASSERT_TRUE(EnsureMailbox(root_, "m-1").ok());
  const std::string outside = root_ + "/outside";
  fs::create_directories(outside + "/cur");
  std::ofstream(outside + "/precious") << "x";
  fs::create_directory_symlink(outside, path_ + "/cur/link");
  EXPECT_TRUE(RemoveMailbox(root_, "m-1").ok());
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(outside + "/precious"));
  // The mailbox itself a link: nothing is touched, and nothing is delivered through it.
  fs::create_directory_symlink(outside, path_);
  EXPECT_EQ(RemoveMailbox(root_, "m-1").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Delivery::Begin(root_, "m-1", {.host = "h"}).ok());
  EXPECT_TRUE(fs::exists(outside + "/precious"));
}

TEST_F(MaildirTest, DeliveredTextComesBackOctetForOctet) {
  const std::string eight_bit = "Subject: \xff\xfe\r\n\r\n\x80 caf\xc3\xa9\r\n";
  const std::string nul("a\0b\r\n", 5);
  for (const std::string& text :
       {std::string("A: b\r\n\r\n.\r\n..\r\n.x\r\n"), std::string(".\r\n"), eight_bit, nul,
        std::string(300'000, 'x') + "\r\n", std::string("no end"), std::string("\r\n\r\n"), std::string()}) {
    const std::string name = Deliver(text);
    EXPECT_EQ(WireOctetsOf(name), text.size());
    auto mailbox = Open();
    ASSERT_EQ(mailbox->messages().size(), 1u);
    EXPECT_EQ(mailbox->messages()[0].octets, text.size());
    EXPECT_EQ(Text(*mailbox, 0), text);
    EXPECT_TRUE(mailbox->Remove({0}).ok());
  }
}

TEST_F(MaildirTest, LineEndsMayBeSplitBetweenPieces) {
  const std::string text = "one\r\n\r\ntwo\r\n";
  auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
  for (const char c : text) ASSERT_TRUE((*delivery)->Append(std::string_view(&c, 1)).ok());
  ASSERT_TRUE((*delivery)->Commit().ok());
  EXPECT_EQ(*ReadFile(path_ + "/new/" + Names("new")[0], 100), "one\n\ntwo\n");
}

TEST(LineEnd, IsTheFirstCrOrLfWhereverItLies) {
  const std::string others = std::string("\x09\x0b\x0c\x0e\x8a\x8d\xff", 7) + '\0';
  std::string text;
  for (size_t i = 0; i < 40; ++i) text += others[i % others.size()];
  EXPECT_EQ(FindLineEnd(text), text.size());
  for (size_t first = 0; first < text.size(); ++first) {
    for (size_t second = first; second < text.size(); ++second) {
      for (const char* ends : {"\r\n", "\n\r", "\n\n", "\r\r"}) {
        std::string with = text;
        with[second] = ends[1];
        with[first] = ends[0];
        ASSERT_EQ(FindLineEnd(with), first) << second;
      }
    }
  }
}

TEST_F(MaildirTest, BareLineEndsAreNotCommitted) {
  for (const std::string text : {"a\nb\r\n", "a\rb\r\n", "a\r\r\n", "a\r", "\n", "\r\n\n.\r\n"}) {
    for (const size_t piece : {1, 100}) {
      auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
      for (size_t at = 0; at < text.size(); at += piece) {
        ASSERT_TRUE((*delivery)->Append(std::string_view(text).substr(at, piece)).ok());
      }
      EXPECT_EQ((*delivery)->Commit().status().code(), absl::StatusCode::kInvalidArgument) << text;
    }
  }
  EXPECT_TRUE(Names("new").empty());
  EXPECT_TRUE(Names("tmp").empty());
}

TEST_F(MaildirTest, WithoutCommitNothingRemains) {
  {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
    ASSERT_TRUE((*delivery)->Append(std::string(200'000, 'x')).ok());
    EXPECT_EQ(Names("tmp").size(), 1u);
  }
  EXPECT_TRUE(Names("tmp").empty());
  EXPECT_TRUE(Names("new").empty());
}

TEST_F(MaildirTest, ADeliveryRepeatedUnderItsNameIsOneMessage) {
  const auto deliver = [&](std::string_view name, std::string_view text) {
    auto delivery = Delivery::Begin(root_, "m-1", {.host = "store1", .name = std::string(name)});
    EXPECT_TRUE(delivery.ok()) << delivery.status();
    EXPECT_TRUE((*delivery)->Append(text).ok());
    return (*delivery)->Commit().value_or("");
  };
  const std::string first = deliver("1700000000.M1Tabc", "a\r\n");
  EXPECT_EQ(first, "1700000000.M1Tabc,S=2,W=3");
  EXPECT_EQ(deliver("1700000000.M1Tabc", "a\r\n"), first);
  EXPECT_EQ(Names("new").size(), 1u);
  EXPECT_TRUE(Names("tmp").empty());
  deliver("1700000000.M1Tabd", "a\r\n");
  deliver("1700000000.M1Tabc", "another\r\n");
  EXPECT_EQ(Names("new").size(), 3u);
  for (const char* bad : {"../x", "a/b", "a:b", ".x", "a b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        Delivery::Begin(root_, "m-1", {.host = "store1", .name = std::string(bad)}).status()))
        << bad;
  }
}

TEST_F(MaildirTest, HostsNameCannotLeaveTheDirectory) {
  auto delivery = Delivery::Begin(root_, "m-1", {.host = "../a:b,c/d"});
  ASSERT_TRUE((*delivery)->Append("x\r\n").ok());
  const auto name = (*delivery)->Commit();
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->find('/'), std::string::npos);
  EXPECT_EQ(name->find(':'), std::string::npos);
  EXPECT_EQ(WireOctetsOf(*name), 3u);
}

TEST_F(MaildirTest, ADirectoryThatIsGoneIsDeferred) {
  auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
  ASSERT_TRUE((*delivery)->Append("x\r\n").ok());
  fs::remove_all(path_ + "/new");
  EXPECT_EQ((*delivery)->Commit().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Delivery::Begin(root_ + "/not-mounted", "m-1", {.host = "h"}).status().code(),
            absl::StatusCode::kUnavailable);
}

// A file-size limit stands in for a full disk: the write fails in the middle.
TEST_F(MaildirTest, AFullDiskIsAnErrorAndLeavesNothing) {
  struct stat device;
  if (stat("/dev/full", &device) != 0) GTEST_SKIP() << "no /dev/full";
  const int full = open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
  // The delivery's own descriptor now leads to a device that is full.
  bool replaced = false;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = fs::read_symlink(entry.path(), error);
    if (target.find(path_ + "/tmp/") == 0) {
      dup2(full, std::stoi(entry.path().filename()));
      replaced = true;
      break;
    }
  }
  close(full);
  ASSERT_TRUE(replaced);
  absl::Status status = (*delivery)->Append(std::string(200'000, 'x') + "\r\n");
  status.Update((*delivery)->Commit().status());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  delivery->reset();
  EXPECT_TRUE(Names("tmp").empty());
  EXPECT_TRUE(Names("new").empty());
}

TEST_F(MaildirTest, KilledDeliveryLeavesNoPartOfAMessageInNew) {
  ASSERT_TRUE(EnsureMailbox(root_, "m-1").ok());
  // Writing takes longer than syncing, so that many are killed in the middle of it.
  const std::string piece(64 * 1024, 'x');
  constexpr size_t kPieces = 128;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        auto delivery = Delivery::Begin(root_, "m-1", {.host = "h"});
        if (!delivery.ok()) _exit(1);
        for (size_t i = 0; i < kPieces; ++i) {
          if (!(*delivery)->Append(piece).ok()) _exit(1);
        }
        if (!(*delivery)->Append("\r\n").ok() || !(*delivery)->Commit().ok()) _exit(1);
      }
    }
    usleep(static_cast<useconds_t>(1000 + round * 733));
    kill(child, SIGKILL);
    int ended = 0;
    waitpid(child, &ended, 0);
    ASSERT_TRUE(WIFSIGNALED(ended));
  }
  size_t whole = 0;
  for (const std::string& name : Names("new")) {
    EXPECT_EQ(fs::file_size(path_ + "/new/" + name), kPieces * piece.size() + 1) << name;
    EXPECT_TRUE(WireOctetsOf(name).has_value()) << name;
    ++whole;
  }
  EXPECT_GT(whole + Names("tmp").size(), 0u);
}

TEST_F(MaildirTest, MessagesAreInOrderOfArrival) {
  Put("new", "1700000002.M000005P1Q1.h,S=2,W=3", "c\n");
  Put("cur", "1700000001.M000009P1Q1.h,S=2,W=3:2,S", "a\n");
  Put("cur", "1700000002.M000004P9Q9.h,S=2,W=3:2,", "b\n");
  Put("new", "1700000010.x", "d\n");
  auto mailbox = Open();
  ASSERT_EQ(mailbox->messages().size(), 4u);
  EXPECT_EQ(Text(*mailbox, 0) + Text(*mailbox, 1) + Text(*mailbox, 2) + Text(*mailbox, 3),
            "a\r\nb\r\nc\r\nd\r\n");
}

TEST_F(MaildirTest, UidlStaysOverRestartAndMoveToCur) {
  const std::string name = Deliver("a\r\n");
  const std::string uidl(Open()->messages()[0].uidl);
  EXPECT_EQ(Open()->messages()[0].uidl, uidl);
  fs::rename(path_ + "/new/" + name, path_ + "/cur/" + name + ":2,");
  EXPECT_EQ(Open()->messages()[0].uidl, uidl);
  fs::rename(path_ + "/cur/" + name + ":2,", path_ + "/cur/" + name + ":2,FS");
  EXPECT_EQ(Open()->messages()[0].uidl, uidl);
}

TEST_F(MaildirTest, UidlIsSayableWhateverTheName) {
  std::set<std::string> seen;
  for (const std::string& name :
       {std::string("short"), std::string(71, 'a'), std::string(200, 'a'), std::string("with space"),
        std::string("caf\xc3\xa9"), std::string("a:2,S"), std::string(70, 'b'), std::string(":2,S")}) {
    const std::string uidl = UidlOf(name);
    EXPECT_GE(uidl.size(), 1u);
    EXPECT_LE(uidl.size(), 70u);
    for (const unsigned char c : uidl) EXPECT_TRUE(c >= 0x21 && c <= 0x7e) << name;
    EXPECT_TRUE(seen.insert(uidl).second) << name;
  }
  EXPECT_EQ(UidlOf("short"), "short");
  EXPECT_EQ(UidlOf(std::string(70, 'b')), std::string(70, 'b'));
}

TEST_F(MaildirTest, SizesComeFromTheNameOrFromReading) {
  EXPECT_EQ(WireOctetsOf("1.x.h,S=1,W=22:2,"), 22u);
  for (const char* name : {"1.x.h", "1.x.h,S=5", "1.x.h,W=", "1.x.h,W=-1", "1.x.h,W=1x",
                           "1.x.h,W=99999999999999999999999", "1.x.h:2,W=4"}) {
    EXPECT_EQ(WireOctetsOf(name), std::nullopt) << name;
  }
  Put("cur", "1.dovecot:2,S", "one\ntwo\n");
  EXPECT_EQ(Open()->messages()[0].octets, 10u);
}

TEST_F(MaildirTest, NothingBareLeavesTheStore) {
  for (const auto& [stored, wire] :
       std::vector<std::pair<std::string, std::string>>{{"a\nb", "a\r\nb"},
                                                        {"a\r\nb\n", "a\r\nb\r\n"},
                                                        {"a\rb", "a\r\nb"},
                                                        {"a\r", "a\r\n"},
                                                        {"\r\r\n", "\r\n\r\n"},
                                                        {"\n\r.\r\n", "\r\n\r\n.\r\n"}}) {
    for (const size_t piece : {1, 2, 100}) {
      WireText text;
      std::string out;
      for (size_t at = 0; at < stored.size(); at += piece) {
        text.Convert(std::string_view(stored).substr(at, piece), out);
      }
      text.Finish(out);
      EXPECT_EQ(out, wire);
    }
  }
}

TEST_F(MaildirTest, ForeignThingsAreToleratedAndLeftAlone) {
  Deliver("mine\r\n");
  fs::create_directory(path_ + "/cur/directory");
  fs::create_symlink("/etc/passwd", path_ + "/cur/link");
  ASSERT_EQ(mkfifo((path_ + "/cur/fifo").c_str(), 0600), 0);
  Put("cur", ".hidden", "x");
  Put("cur", "no-number", "foreign\n");
  auto mailbox = Open();
  ASSERT_EQ(mailbox->messages().size(), 2u);
  EXPECT_EQ(Text(*mailbox, 0), "foreign\r\n");
  EXPECT_TRUE(mailbox->Remove({0, 1}).ok());
  EXPECT_TRUE(fs::exists(path_ + "/cur/.hidden"));
  EXPECT_TRUE(fs::is_symlink(path_ + "/cur/link"));
}

TEST_F(MaildirTest, FilesThatMoveOrVanishMeanwhile) {
  const std::string moves = Deliver("moves\r\n");
  const std::string vanishes = Deliver("vanishes\r\n");
  auto mailbox = Open();
  fs::rename(path_ + "/new/" + moves, path_ + "/cur/" + moves + ":2,S");
  fs::remove(path_ + "/new/" + vanishes);
  EXPECT_EQ(Text(*mailbox, 0), "moves\r\n");
  EXPECT_EQ(mailbox->OpenMessage(1).status().code(), absl::StatusCode::kNotFound);
  fs::rename(path_ + "/cur/" + moves + ":2,S", path_ + "/cur/" + moves + ":2,FS");
  EXPECT_TRUE(mailbox->Remove({0, 1}).ok());
  EXPECT_TRUE(Names("cur").empty());
  EXPECT_TRUE(Names("new").empty());
}

TEST_F(MaildirTest, WhatArrivesLaterIsNotSeen) {
  Deliver("one\r\n");
  auto mailbox = Open();
  Deliver("two\r\n");
  EXPECT_EQ(mailbox->messages().size(), 1u);
  mailbox.reset();
  EXPECT_EQ(Open()->messages().size(), 2u);
}

TEST_F(MaildirTest, OneReaderAtATime) {
  auto first = Open();
  EXPECT_EQ(Mailbox::Open(root_, "m-1").status().code(), absl::StatusCode::kAborted);
  // In another process too.
  const pid_t child = fork();
  if (child == 0) _exit(Mailbox::Open(root_, "m-1").status().code() == absl::StatusCode::kAborted ? 0 : 1);
  int ended = 0;
  waitpid(child, &ended, 0);
  EXPECT_EQ(ended, 0);
  first.reset();
  EXPECT_TRUE(Mailbox::Open(root_, "m-1").ok());
}

TEST_F(MaildirTest, AKilledReaderLeavesNoLock) {
  ASSERT_TRUE(EnsureMailbox(root_, "m-1").ok());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto mailbox = Mailbox::Open(root_, "m-1");
    if (write(ready[1], mailbox.ok() ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_EQ(Mailbox::Open(root_, "m-1").status().code(), absl::StatusCode::kAborted);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(Mailbox::Open(root_, "m-1").ok());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(MaildirTest, AbandonedDeliveriesAreCleanedUp) {
  Put("tmp", "old", "half");
  Put("tmp", "young", "half");
  const timespec long_ago[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (path_ + "/tmp/old").c_str(), long_ago, 0), 0);
  Open();
  EXPECT_EQ(Names("tmp"), std::vector<std::string>{"young"});
}

TEST_F(MaildirTest, UnlinkThatFailsIsTold) {
  Deliver("one\r\n");
  auto mailbox = Open();
  chmod((path_ + "/new").c_str(), 0500);
  // Root may remove everything.
  const bool root = geteuid() == 0;
  ASSERT_TRUE(!root || seteuid(65534) == 0);
  EXPECT_FALSE(mailbox->Remove({0}).ok());
  ASSERT_TRUE(!root || seteuid(0) == 0);
  chmod((path_ + "/new").c_str(), 0700);
}

}  // namespace
}  // namespace prov::maildir
