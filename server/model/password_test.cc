#include "server/model/password.h"

#include <crypt.h>
#include <gtest/gtest.h>

#include "common/status.h"

namespace prov::model {
namespace {

constexpr char kStrong[] = "vioBn4Aw-plinth-Rook";

absl::Status Check(std::string_view password) {
  return CheckPassword("field", password, "alice@example.net", kLeastPasswordCharacters);
}

TEST(Password, WeakOnesAreRefusedWithoutBeingEchoed) {
  for (const std::string& weak :
       std::vector<std::string>{"", "short1", "elephant", "aaaaaaaaaaaa", "alice12345",
                                "tab\x07"
                                "bell-Quartz9",
                                "\xff\xfe\xfd-Quartz9x", std::string(513, 'x'), std::string(1 << 20, 'y')}) {
    const absl::Status status = Check(weak);
    ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << weak.substr(0, 20);
    EXPECT_EQ(ViolationsOf(status).at(0).field, "field");
    if (!weak.empty()) {
      EXPECT_EQ(MessageOf(status).find(weak), std::string_view::npos);
    }
  }
  EXPECT_TRUE(Check(kStrong).ok()) << Check(kStrong);
}

TEST(Password, HashVerifiesAndIsSaltedAnew) {
  const std::string first = HashPassword(kStrong).value();
  const std::string second = HashPassword(kStrong).value();
  EXPECT_TRUE(VerifyPassword(first, kStrong));
  EXPECT_TRUE(VerifyPassword(second, kStrong));
  EXPECT_FALSE(VerifyPassword(first, std::string(kStrong) + "x"));
  for (const char* none : {"", "{CRYPT}", "{CRYPT}*", "{CRYPT}$6$", "secret", "{SSHA}c2VjcmV0"})
    EXPECT_FALSE(VerifyPassword(none, "")) << none;
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.starts_with("{CRYPT}$6$"));
  EXPECT_TRUE(CheckPasswordHash("password_hash", first).ok());
  const std::string setting = first.substr(7);
  EXPECT_EQ(crypt(kStrong, setting.c_str()), setting);
}

TEST(Password, ForeignHashesAreChecked) {
  for (const char* bad : {"", "secret", "{SSHA}abc", "{CRYPT}abcd", "{CRYPT}$1$salt$x", "{CRYPT}$6$sa\nlt$x",
                          "{CRYPT}$6$a:b$x"}) {
    EXPECT_FALSE(CheckPasswordHash("password_hash", bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace prov::model
