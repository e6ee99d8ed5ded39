#include "common/config.h"

#include <gtest/gtest.h>

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

TEST(Config, SyntaxErrorTellsTheLine) {
  EXPECT_NE(ConfigReader::Parse("a = 1\nb = [", "f").status().message().find("f:2"), std::string::npos);
}

}  // namespace
}  // namespace prov
