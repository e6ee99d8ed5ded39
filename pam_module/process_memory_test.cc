#include "pam_module/process_memory.h"

#include <string_view>
#include <thread>
#include <vector>

#include "pam_module/testing/pam_directory.h"

namespace prov::pam {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class ProcessMemoryTest : public PamProvTest {
 protected:
  static ProcessMemory& Memory(milliseconds kept_for) {
    static auto& for_ever = *new std::vector<ProcessMemory*>;
    for_ever.push_back(new ProcessMemory(kept_for));
    return *for_ever.back();
  }

  static ConnectionUse Use(const std::string& uri) {
    ConnectionUse use;
    use.uri = uri;
    return use;
  }
  // slapd has answered over it, and so has logged that it took it.
  static std::unique_ptr<ldap::Connection> Open() {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    EXPECT_TRUE(connection.ok());
    EXPECT_TRUE((*connection)->Bind(slapd_->ServiceDn("pam"), slapd_->ServicePassword("pam")).ok());
    return *std::move(connection);
  }
  static size_t InLog(std::string_view event) {
    const std::string log = slapd_->Log();
    size_t count = 0;
    for (size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) ++count;
    return count;
  }
  static size_t Accepted() { return InLog(" ACCEPT from "); }
  static size_t Closed() { return InLog(" closed"); }

  // Whether slapd has seen the end of every connection there was, within 30 seconds.
  static bool AllAreClosed(size_t accepted) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(30);
    while (Closed() < accepted && steady_clock::now() < deadline)
      std::this_thread::sleep_for(milliseconds(5));
    return Closed() == accepted;
  }
};

TEST_F(ProcessMemoryTest, AConnectionIsKeptForTheSameUseAlone) {
  ProcessMemory& memory = Memory(milliseconds(60'000));
  memory.Keep(Use("a"), Open());
  ConnectionUse other = Use("a");
  other.bind_password = "changed";
  EXPECT_EQ(memory.Take(other), nullptr);
  EXPECT_EQ(memory.Take(Use("b")), nullptr);
  EXPECT_NE(memory.Take(Use("a")), nullptr);
  EXPECT_EQ(memory.Take(Use("a")), nullptr);  // it has one user at a time
}

TEST_F(ProcessMemoryTest, WhatNobodyUsesIsClosedByItself) {
  ProcessMemory& memory = Memory(milliseconds(30));
  ASSERT_TRUE(AllAreClosed(Accepted()));  // those of other tests
  const size_t before = Accepted();
  for (size_t round = 1; round <= 2; ++round) {
    memory.Keep(Use("a"), Open());
    EXPECT_TRUE(AllAreClosed(before + round));
    EXPECT_EQ(memory.Take(Use("a")), nullptr);
  }
}

TEST_F(ProcessMemoryTest, KeptConnectionsAreBounded) {
  ProcessMemory& memory = Memory(milliseconds(60'000));
  for (size_t i = 0; i <= ProcessMemory::kMostKept; ++i) memory.Keep(Use(std::to_string(i)), Open());
  EXPECT_EQ(memory.Take(Use("0")), nullptr);  // the one that waited longest
  for (size_t i = 1; i <= ProcessMemory::kMostKept; ++i)
    EXPECT_NE(memory.Take(Use(std::to_string(i))), nullptr);
}

TEST_F(ProcessMemoryTest, TheFirstLoginOfAProcessKeepsNothing) {
  ProcessMemory& memory = Memory(milliseconds(60'000));
  EXPECT_FALSE(memory.BeginLogin());
  EXPECT_TRUE(memory.BeginLogin());
}

}  // namespace
}  // namespace prov::pam
