// What became of mail is written beside it, and found again.
#include "agents/mail/queue/trace_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agents/mail/queue/mail_event.h"
#include "agents/mail/queue/testing/test_spool.h"
#include "agents/mail/queue/trace_query.h"

namespace prov::queue {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class SetClock final : public Clock {
 public:
  Time Now() const override { return now; }
  std::chrono::steady_clock::time_point Monotonic() const override { return SystemClock().Monotonic(); }
  std::atomic<Time> now{Time(hours(24 * 365 * 50))};
};

class TraceLogTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    log_.reset();
    auto log = TraceLog::Start(path_, hours(48), clock_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
  }
  void Tell(std::string_view event, std::string_view trace, std::string_view sender,
            std::string_view recipient, const std::vector<std::string>& recipients = {}) {
    log_->Append(TraceLine(clock_.now.load(), event,
                           {{"trace", trace}, {"sender", sender}, {"recipient", recipient}}, recipients));
  }
  // "event of trace" of each line.
  std::vector<std::string> Ask(TraceQuery query, bool* cut = nullptr) {
    log_->Flush();
    TraceReader reader(path_, std::move(query));
    std::vector<std::string> events;
    for (;;) {
      const auto lines = reader.Next();
      EXPECT_TRUE(lines.ok()) << lines.status();
      if (!lines.ok() || !*lines) break;
      for (const std::string& line : **lines) {
        const auto event = nlohmann::json::parse(line);
        events.push_back(event["event"].get<std::string>() + " of " + event["trace"].get<std::string>());
      }
    }
    if (cut != nullptr) *cut = reader.cut();
    return events;
  }
  TraceQuery About(std::string address) {
    TraceQuery query;
    query.address = std::move(address);
    query.since = clock_.now.load() - hours(1);
    return query;
  }

  TestQueueDirectory directory_;
  const std::string path_ = directory_.path() + "/trace";
  SetClock clock_;
  std::unique_ptr<TraceLog> log_;
};

using Events = std::vector<std::string>;

TEST_F(TraceLogTest, AMessageIsFoundByItsSenderItsRecipientsAndItsId) {
  Tell("mail_accepted", "one", "Bob@Example.org", "", {"alice@example.net", "carol@example.net"});
  Tell("mail_delivered", "one", "", "Alice@example.net");
  Tell("mail_accepted", "two", "bob@example.com", "dave@example.net");
  const Events one = {"mail_accepted of one", "mail_delivered of one"};
  EXPECT_EQ(Ask(About("bob@example.org")), one);
  EXPECT_EQ(Ask(About("alice@example.net")), one);
  EXPECT_EQ(Ask(About("carol@example.net")), one);
  EXPECT_EQ(Ask({.traces = {"one"}}), one);
  EXPECT_EQ(Ask({.traces = {"two"}}), Events{"mail_accepted of two"});
  EXPECT_EQ(Ask(About("alice@example")), Events());
  EXPECT_EQ(Ask(About("lice@example.net")), Events());
}

TEST_F(TraceLogTest, WhatStandsInAnotherFieldIsNotFound) {
  log_->Append(TraceLine(clock_.now.load(), "mail_refused",
                         {{"trace", "one"}, {"reply", "550 \"trace\":\"two\" alice@example.net"}}, {}));
  EXPECT_EQ(Ask(About("alice@example.net")), Events());
  EXPECT_EQ(Ask({.traces = {"two"}}), Events());
}

// The id tells when a message came: its history is told from there on, in however many files it lies.
TEST_F(TraceLogTest, TheWholeHistoryIsToldOfWhatHappenedSince) {
  const std::string id = Spool::NewId(clock_.now.load());
  Tell("mail_accepted", id, "a@b.c", "x@y.z");
  log_->Flush();
  clock_.now = clock_.now.load() + hours(5);
  Tell("mail_deferred", id, "a@b.c", "x@y.z");
  log_->Flush();
  clock_.now = clock_.now.load() + hours(5);
  Tell("mail_delivered", id, "a@b.c", "x@y.z");
  EXPECT_EQ(Ask(About("x@y.z")),
            (Events{"mail_accepted of " + id, "mail_deferred of " + id, "mail_delivered of " + id}));
  clock_.now = clock_.now.load() + hours(2);
  EXPECT_EQ(Ask(About("x@y.z")), Events());
}

TEST_F(TraceLogTest, TheNewestMessagesAreToldAndThatThereAreOthers) {
  for (const char* id : {"one", "two", "three"}) Tell("mail_accepted", id, "a@b.c", "x@y.z");
  TraceQuery query = About("x@y.z");
  query.most_messages = 2;
  bool cut = false;
  EXPECT_EQ(Ask(query, &cut), (Events{"mail_accepted of two", "mail_accepted of three"}));
  EXPECT_TRUE(cut);
  EXPECT_EQ(Ask(About("x@y.z"), &cut).size(), 3u);
  EXPECT_FALSE(cut);
}

TEST_F(TraceLogTest, OldFilesAreRemovedAndYoungOnesStay) {
  Tell("mail_accepted", "one", "a@b.c", "x@y.z");
  log_->Flush();
  const std::string first = path_ + "/" + TraceFileName(clock_.now.load());
  clock_.now = clock_.now.load() + hours(47);
  Tell("mail_accepted", "two", "a@b.c", "x@y.z");
  log_->Flush();
  EXPECT_TRUE(std::filesystem::exists(first));
  clock_.now = clock_.now.load() + hours(3);
  Tell("mail_accepted", "three", "a@b.c", "x@y.z");
  log_->Flush();
  EXPECT_FALSE(std::filesystem::exists(first));
  EXPECT_EQ(TraceFiles(path_)->size(), 2u);
}

TEST_F(TraceLogTest, WhatIsWrittenOutlivesTheProcessAndIsAppendedTo) {
  Tell("mail_accepted", "one", "a@b.c", "x@y.z");
  Open();
  Tell("mail_delivered", "one", "a@b.c", "x@y.z");
  EXPECT_EQ(Ask(About("x@y.z")).size(), 2u);
}

// The process ended in the midst of a line, or the disk was full.
TEST_F(TraceLogTest, HalfALineSpoilsNoOther) {
  Tell("mail_accepted", "one", "a@b.c", "x@y.z");
  log_->Flush();
  std::ofstream(path_ + "/" + TraceFileName(clock_.now.load()), std::ios::app)
      << "{\"time\":\n"
      << std::string(3 * kMaxTraceLineOctets, 'x') << "\n";
  Tell("mail_delivered", "one", "a@b.c", "x@y.z");
  EXPECT_EQ(Ask(About("x@y.z")).size(), 2u);
}

TEST_F(TraceLogTest, MailGoesOnWhereNothingCanBeWritten) {
  std::filesystem::remove_all(path_);
  std::ofstream(path_) << "no directory";
  Tell("mail_accepted", "one", "a@b.c", "x@y.z");
  log_->Flush();
  EXPECT_EQ(log_->lost(), 1u);
  std::filesystem::remove(path_);
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  Tell("mail_accepted", "two", "a@b.c", "x@y.z");
  EXPECT_EQ(Ask(About("x@y.z")), Events{"mail_accepted of two"});
}

TEST(TraceLine, IsOneLineOfJsonWhateverItTellsOf) {
  const std::string line =
      TraceLine(Time(milliseconds(1234)), "mail_refused",
                {{"trace", "id"}, {"sender", "a\"\n\xff@b.c"}, {"octets", 7}}, {"x@y.z"});
  EXPECT_EQ(line.find('\n'), line.npos);
  EXPECT_TRUE(line.starts_with("{\"time\":1234,\"event\":\"mail_refused\",\"trace\":\"id\",\"sender\":"))
      << line;
  const auto event = nlohmann::json::parse(line);
  EXPECT_EQ(event["octets"], "7");
  EXPECT_EQ(event["recipients"].size(), 1u);
}

}  // namespace
}  // namespace prov::queue
