#include "common/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace prov {
namespace {

using std::chrono::milliseconds;

TEST(Config, ReadsWhatIsThereAndFallsBack) {
  auto reader = ConfigReader::Parse(R"(
listen = "127.0.0.1:1"
roles = ["relay", "store"]
[tls]
ca = "ca.pem"
[engine]
idle = "5m"
workers = 4
)",
                                    "/etc/prov/agent.toml");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->String("listen", "x"), "127.0.0.1:1");
  EXPECT_EQ(reader->Strings("roles"), (std::vector<std::string>{"relay", "store"}));
  EXPECT_EQ(reader->Path("tls.ca", ""), "/etc/prov/ca.pem");
  EXPECT_EQ(reader->Duration("engine.idle", milliseconds(1)), milliseconds(300'000));
  EXPECT_EQ(reader->Int("engine.workers", 1, 1, 64), 4);
  EXPECT_EQ(reader->String("absent", "fallback"), "fallback");
  EXPECT_TRUE(reader->Finish().ok());
}

TEST(Config, NamesLineAndKeyOfEveryError) {
  auto reader = ConfigReader::Parse("workers = 99\nlissten = \"a\"\nidle = 5\n", "agent.toml");
  ASSERT_TRUE(reader.ok());
  reader->Int("workers", 1, 1, 64);
  reader->Duration("idle", milliseconds(1));
  reader->RequiredString("host");
  const absl::Status status = reader->Finish();
  EXPECT_NE(status.message().find("agent.toml:1: workers must be a whole number from 1 to 64"),
            std::string::npos);
  EXPECT_NE(status.message().find("agent.toml:2: lissten is not a setting"), std::string::npos);
  EXPECT_NE(status.message().find("agent.toml:3: idle must be"), std::string::npos);
  EXPECT_NE(status.message().find("host is required"), std::string::npos);
}

// A century would do, but a clock that counts nanoseconds in 64 bits ends after 292 years, and a time beyond
// it is one in the past.
TEST(Config, ATimeBeyondWhatAClockCanCountIsRefused) {
  for (const char* text : {"110000d", "1000000000d", "1000000000h", "1000000000m"}) {
    auto reader = ConfigReader::Parse(fmt::format("give_up = \"{}\"\n", text), "agent.toml");
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(reader->Duration("give_up", milliseconds(1)), milliseconds(1));
    EXPECT_NE(reader->Finish().message().find("agent.toml:1: give_up must be"), std::string::npos) << text;
  }
  auto reader = ConfigReader::Parse("give_up = \"3650d\"\nshort = \"5ms\"\n", "agent.toml");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->Duration("give_up", milliseconds(1)), std::chrono::hours(24) * 3650);
  reader->Duration("short", milliseconds(1), milliseconds(10));
  EXPECT_NE(reader->Finish().message().find("agent.toml:2: short must be at least 10ms"), std::string::npos);
}

TEST(Config, ATableOfDurations) {
  auto reader = ConfigReader::Parse("delay = { free = \"15m\", gold = \"0s\" }\n", "agent.toml");
  ASSERT_TRUE(reader.ok());
  const std::map<std::string, milliseconds> wanted = {{"free", milliseconds(900'000)},
                                                      {"gold", milliseconds(0)}};
  EXPECT_EQ(reader->DurationMap("delay", milliseconds(0)), wanted);
  EXPECT_TRUE(reader->DurationMap("absent", milliseconds(0)).empty());
  EXPECT_TRUE(reader->Finish().ok());
  for (const char* bad : {"{ free = 15 }", "{ free = \"15\" }", "{ free = \"-1s\" }", "{ free = \"40000d\" }",
                          "{ free = \"5s\" }", "\"5m\""}) {
    auto other = ConfigReader::Parse(std::string("delay = ") + bad + "\n", "agent.toml");
    ASSERT_TRUE(other.ok()) << bad;
    EXPECT_TRUE(other->DurationMap("delay", milliseconds(10'000)).empty()) << bad;
    EXPECT_NE(other->Finish().message().find("agent.toml:1: delay must"), std::string::npos) << bad;
  }
}

TEST(Config, SyntaxErrorTellsTheLine) {
  EXPECT_NE(ConfigReader::Parse("a = 1\nb = [", "f").status().message().find("f:2"), std::string::npos);
}

}  // namespace
}  // namespace prov
