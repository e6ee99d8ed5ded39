#include "agents/engine_status.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

namespace prov {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr steady_clock::time_point kStart{std::chrono::hours(1)};

class EngineStatus : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    std::string pattern = "/tmp/prov-status-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(EngineStatus, CountsArriveAndSilenceIsNoticed) {
  auto reader = EngineStatusReader::Open(directory_, std::nullopt);
  ASSERT_TRUE(reader.ok()) << reader.status();
  reader->Poll(kStart);
  EXPECT_FALSE(reader->sessions().has_value());
  EngineStatusWriter writer(directory_);
  writer.Tell({{v1::STORE, 2}, {v1::POP_PROXY, 0}}, kStart);
  reader->Poll(kStart);
  EXPECT_EQ(reader->sessions(), (SessionCounts{{v1::STORE, 2}, {v1::POP_PROXY, 0}}));
  writer.Tell({{v1::STORE, 1}}, kStart);
  writer.Tell({{v1::STORE, 0}}, kStart);
  reader->Poll(kStart + kEngineSilent);
  EXPECT_EQ(reader->sessions(), (SessionCounts{{v1::STORE, 0}})) << "the last one counts";
  // Unchanged, it says so again before it would be taken for gone.
  writer.Tell({{v1::STORE, 0}}, kStart + kEngineSilent);
  reader->Poll(kStart + kEngineSilent * 2);
  EXPECT_TRUE(reader->sessions().has_value());
  reader->Poll(kStart + kEngineSilent * 3 + seconds(1));
  EXPECT_FALSE(reader->sessions().has_value());
}

TEST_F(EngineStatus, AnEngineOutlivesItsAgentAndIsHeardByTheNext) {
  EngineStatusWriter writer(directory_);
  writer.Tell({{v1::RELAY, 1}}, kStart);  // nobody is there
  {
    const auto first = EngineStatusReader::Open(directory_, std::nullopt);
    writer.Tell({{v1::RELAY, 1}}, kStart);
  }
  writer.Tell({{v1::RELAY, 2}}, kStart);
  auto second = EngineStatusReader::Open(directory_, std::nullopt);
  ASSERT_TRUE(second.ok()) << second.status();
  writer.Tell({{v1::RELAY, 3}}, kStart);
  second->Poll(kStart);
  EXPECT_EQ(second->sessions(), (SessionCounts{{v1::RELAY, 3}}));
}

TEST_F(EngineStatus, WhatIsNoStatusIsIgnored) {
  for (const char* line : {"store", "store=", "store=-1", "store=x", "kitchen=1", "=1"})
    EXPECT_FALSE(ParseEngineStatusLine(line).ok()) << line;
  auto reader = EngineStatusReader::Open(directory_, std::nullopt);
  const int pipe = open((directory_ + "/" + kEngineStatusName).c_str(), O_WRONLY | O_NONBLOCK);
  const std::string flood(kMostStatusOctets * 4, 'x');
  EXPECT_EQ(write(pipe, flood.data(), flood.size()), static_cast<ssize_t>(flood.size()));
  reader->Poll(kStart);
  EXPECT_EQ(write(pipe, "\nstore=7\n", 9), 9);
  close(pipe);
  reader->Poll(kStart);
  EXPECT_EQ(reader->sessions(), (SessionCounts{{v1::STORE, 7}}));
}

}  // namespace
}  // namespace prov
