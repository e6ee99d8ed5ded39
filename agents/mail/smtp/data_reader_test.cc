#include "agents/mail/smtp/data_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace prov::smtp {
namespace {

struct Outcome {
  bool ended = false;
  size_t taken = 0;
  std::string content;
  ContentFault fault = ContentFault::kNone;
};

Outcome ReadInSteps(const std::string& wire, size_t step) {
  DataReader reader;
  Outcome outcome;
  while (outcome.taken < wire.size() && !reader.ended()) {
    const std::string_view piece = std::string_view(wire).substr(outcome.taken, step);
    outcome.taken += reader.Read(piece, outcome.content);
  }
  outcome.ended = reader.ended();
  outcome.fault = reader.fault();
  return outcome;
}

// From the notes: what other servers took for the end of a message.
const std::vector<std::string>& FalseEnds() {
  static const std::vector<std::string> ends = {
      "\n.\n",
      "\n.\r",
      "\r.\n",
      "\r.\r",
      "\n.\r\n",
      "\r.\r\n",
      "\r\n.\n",
      "\r\n.\r",
      std::string("\r\n\0.\r\n", 6),
      std::string("\r\n.\0\r\n", 6),
      "\r\n.\r\r\n",
      "\r\r\n.\r\r\n",
  };
  return ends;
}

TEST(DataReader, NothingButCrlfDotCrlfEndsAMessageAndFalseEndsSpoilIt) {
  const std::string smuggled = "MAIL FROM:<evil@example.org>\r\n";
  for (const std::string& vector : FalseEnds()) {
    for (const std::string& before : {std::string(), std::string("text"), std::string("a\r\nb")}) {
      for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
        const std::string wire = before + vector + smuggled + ".\r\n";
        const Outcome outcome = ReadInSteps(wire, step);
        EXPECT_TRUE(outcome.ended) << testing::PrintToString(wire);
        EXPECT_EQ(outcome.taken, wire.size()) << testing::PrintToString(wire);
        EXPECT_NE(outcome.fault, ContentFault::kNone) << testing::PrintToString(wire);
        EXPECT_EQ(outcome.content.find("evil"), std::string::npos);
      }
    }
  }
}

TEST(DataReader, UnstuffsDotsAndKeepsEverythingElse) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {".\r\n", ""},
      {"\r\n.\r\n", "\r\n"},
      {"..\r\n.\r\n", ".\r\n"},
      {"...\r\n.\r\n", "..\r\n"},
      {".x\r\n.\r\n", "x\r\n"},
      {"a..\r\n..b\r\n.\r\n", "a..\r\n.b\r\n"},
      {"\x80\xff\t\r\n.\r\n", "\x80\xff\t\r\n"},
  };
  for (const auto& [wire, content] : cases) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{1000}}) {
      const Outcome outcome = ReadInSteps(wire, step);
      EXPECT_TRUE(outcome.ended) << wire;
      EXPECT_EQ(outcome.content, content) << wire;
      EXPECT_EQ(outcome.fault, ContentFault::kNone) << wire;
    }
  }
}

TEST(DataReader, LeavesWhatFollowsTheEnd) {
  const Outcome outcome = ReadInSteps("a\r\n.\r\nQUIT\r\n", 1000);
  EXPECT_TRUE(outcome.ended);
  EXPECT_EQ(outcome.taken, 6u);
}

}  // namespace
}  // namespace prov::smtp
