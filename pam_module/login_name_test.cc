#include "pam_module/login_name.h"

#include <gtest/gtest.h>

namespace prov::pam {
namespace {

TEST(LoginName, TakesWhatProvdGivesOut) {
  EXPECT_EQ(LoginName("alice@example.net"), "alice@example.net");
  EXPECT_EQ(LoginName("Alice.B+x@Example.NET"), "alice.b+x@example.net");
  EXPECT_EQ(LoginName("o'neil{}~#$&-=?^_@xn--exmple-cua.net"), "o'neil{}~#$&-=?^_@xn--exmple-cua.net");
  EXPECT_TRUE(LoginName(std::string(64, 'a') + "@" + std::string(189, 'b')).has_value());
}

TEST(LoginName, RefusesWhatMeansSomethingToOthers) {
  using namespace std::string_view_literals;
  for (const std::string_view bad : {"*"sv,          "*@example.net"sv,
                                     ")(uid=*"sv,    "a)(uid=*@x.net"sv,
                                     "\\"sv,         "\\2a@x.net"sv,
                                     "a\0b@x.net"sv, "a@x.net\0"sv,
                                     ""sv,           "@"sv,
                                     "a@"sv,         "@x.net"sv,
                                     "a@b@x.net"sv,  "a b@x.net"sv,
                                     "a\n@x.net"sv,  "root"sv,
                                     "a/b@x.net"sv,  "a%b@x.net"sv,
                                     "a@x_y.net"sv,  "\xC3\xA9@x.net"sv,
                                     "a,b@x.net"sv,  "a@[127.0.0.1]"sv,
                                     "a!b@x.net"sv,  "a|b@x.net"sv}) {
    EXPECT_EQ(LoginName(bad), std::nullopt) << bad;
  }
  EXPECT_FALSE(LoginName(std::string(65, 'a') + "@x.net").has_value());
  EXPECT_FALSE(LoginName(std::string(60, 'a') + "@" + std::string(200, 'b')).has_value());
  EXPECT_FALSE(LoginName(std::string(1 << 20, 'a')).has_value());
}

}  // namespace
}  // namespace prov::pam
