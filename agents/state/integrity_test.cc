#include "agents/state/integrity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/state/writer.h"

namespace prov::state {
namespace {

namespace fs = std::filesystem;

constexpr int kMailboxes = 200;
constexpr size_t kPage = 4096;
constexpr int kOk = 0, kBroken = 1, kNotFound = 2;

// How a process ends that does this; 128 and the number of the signal that ended it.
int EndOf(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    // Pages that lead back to each other have no end. Of its own time, not of the machine's.
    const rlimit seconds = {.rlim_cur = 5, .rlim_max = 5};
    setrlimit(RLIMIT_CPU, &seconds);
    _exit(work());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

class Integrity : public testing::Test {
 protected:
  // Written over and over, so that it has free pages, queues and failures too.
  void SetUp() override {
    const auto writer = StateWriter::Open(directory_.path()).value();
    for (int revision = 1; revision <= 4; ++revision) {
      std::vector<v1::Record> records;
      for (int id = 1; id <= kMailboxes; ++id) {
        records.push_back(MailboxRecord(id, revision, {fmt::format("alias{}@example.net", id)}));
      }
      ASSERT_TRUE(writer->ApplyBatch(v1::STORE, BatchOf(revision, records)).ok());
    }
    const auto pending = writer->Pending(v1::STORE, std::chrono::system_clock::now(), kMailboxes / 2);
    std::vector<Outcome> outcomes;
    for (const PendingItem& item : *pending) outcomes.push_back({item.key, item.ticket, {}, {}});
    outcomes.front().status = absl::UnavailableError("disk away");
    ASSERT_TRUE(writer->Settle(v1::STORE, outcomes).ok());
  }

  std::string Data(const TestDirectory& copy) const { return copy.path() + "/data.mdb"; }

  int Check(const TestDirectory& copy) const {
    return EndOf([&] {
      const absl::Status status = CheckIntegrity(copy.path());
      return status.ok() ? kOk : kBroken;
    });
  }

  // As an engine does that serves everybody.
  int Serve(const TestDirectory& copy) const {
    return EndOf([&] {
      const auto reader = StateReader::Open(copy.path());
      if (!reader.ok()) return kBroken;
      for (int id = 1; id <= kMailboxes; ++id) {
        const auto mailbox = (*reader)->FindMailboxByAddress(fmt::format("alias{}@example.net", id));
        if (absl::IsNotFound(mailbox.status())) return kNotFound;
        if (!mailbox.ok() || mailbox->mailbox_id() != fmt::format("box-{}", id)) {
          fmt::print(stderr, "user {}: {}\n", id, mailbox.status().ToString());
          return kBroken;
        }
      }
      return kOk;
    });
  }

  // What the check lets pass serves everybody.
  void ExpectHonest(const TestDirectory& copy, const std::string& damage) {
    const int verdict = Check(copy);
    if (verdict == kOk) {
      ++passed_;
      EXPECT_EQ(Serve(copy), kOk) << damage;
    } else {
      ++found_;
    }
  }

  void Spoil(const TestDirectory& copy, size_t offset, const std::string& octets) const {
    fs::copy(directory_.path(), copy.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    std::fstream file(Data(copy), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << octets;
  }

  TestDirectory directory_;
  int passed_ = 0, found_ = 0;
};

TEST_F(Integrity, AWholeCopyAnEmptyOneAndNoneAreFine) {
  EXPECT_TRUE(CheckIntegrity(directory_.path()).ok());
  const TestDirectory none, empty, begun;
  EXPECT_TRUE(CheckIntegrity(none.path()).ok());
  std::ofstream(Data(empty)).flush();
  EXPECT_TRUE(CheckIntegrity(empty.path()).ok());
  ASSERT_TRUE(StateWriter::Open(begun.path()).ok());
  EXPECT_TRUE(CheckIntegrity(begun.path()).ok());
}

TEST_F(Integrity, NoPageThatIsSpoiltGoesUnseenByTheCheckAndHarmsWhoReads) {
  std::mt19937 random(20261129);
  const size_t pages = fs::file_size(directory_.path() + "/data.mdb") / kPage;
  ASSERT_GT(pages, 40u);
  for (size_t page = 0; page < pages; ++page) {
    std::string garbage(kPage, '\0');
    if (page % 2 == 0) {
      for (char& c : garbage) c = static_cast<char>(random());
    }
    const TestDirectory copy;
    Spoil(copy, page * kPage, garbage);
    ExpectHonest(copy, fmt::format("page {} of {}", page, pages));
  }
  EXPECT_GT(found_, 20);
  EXPECT_GT(passed_, 0);  // the free ones
}

TEST_F(Integrity, NoBitThatFlipsGoesUnseenByTheCheckAndHarmsWhoReads) {
  std::mt19937 random(20261129);
  const size_t size = fs::file_size(directory_.path() + "/data.mdb");
  for (int i = 0; i < 200; ++i) {
    const size_t offset = random() % size;
    std::ifstream original(directory_.path() + "/data.mdb", std::ios::binary);
    original.seekg(static_cast<std::streamoff>(offset));
    const auto octet = static_cast<char>(original.get() ^ (1 << random() % 8));
    const TestDirectory copy;
    Spoil(copy, offset, std::string(1, octet));
    ExpectHonest(copy, fmt::format("octet {}", offset));
  }
  EXPECT_GT(found_, 10);
}

TEST_F(Integrity, AFileThatWasCutShortIsFound) {
  const size_t size = fs::file_size(directory_.path() + "/data.mdb");
  for (const size_t left : {size / 2, size - kPage, kPage, size_t{100}}) {
    const TestDirectory copy;
    Spoil(copy, 0, "");
    fs::resize_file(Data(copy), left);
    EXPECT_NE(Check(copy), kOk) << left;
  }
}

// The next to open it makes it anew.
TEST_F(Integrity, ASpoiltLockFileIsNoMatter) {
  const TestDirectory copy;
  Spoil(copy, 0, "");
  std::ofstream(copy.path() + "/lock.mdb", std::ios::trunc) << std::string(5000, 'x');
  EXPECT_EQ(Check(copy), kOk);
  EXPECT_EQ(EndOf([&] { return StateWriter::Open(copy.path()).ok() ? kOk : kBroken; }), kOk);
  EXPECT_EQ(Serve(copy), kOk);
}

}  // namespace
}  // namespace prov::state
