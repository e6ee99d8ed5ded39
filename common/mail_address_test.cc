#include "common/mail_address.h"

#include <gtest/gtest.h>

namespace prov {
namespace {

TEST(MailAddress, IsFoldedToOneForm) {
  EXPECT_EQ(ParseHostedAddress("Alice.B+x@Example.NET")->ToString(), "alice.b+x@example.net");
  EXPECT_EQ(ParseHostedAddress("o'neil@bücher.example")->ToString(), "o'neil@xn--bcher-kva.example");
}

TEST(MailAddress, DangerousOnesAreRefused) {
  for (const std::string& bad : std::vector<std::string>{"",
                                                         "alice",
                                                         "@example.net",
                                                         "alice@",
                                                         "a b@example.net",
                                                         "a@b@example.net",
                                                         "\"a b\"@example.net",
                                                         "a%b@example.net",
                                                         "a!b@example.net",
                                                         "|sh@example.net",
                                                         "/etc/passwd@example.net",
                                                         "*@example.net",
                                                         "-f@example.net",
                                                         ".a@example.net",
                                                         "a.@example.net",
                                                         "a..b@example.net",
                                                         "a)(uid=*@example.net",
                                                         "a\\@example.net",
                                                         std::string("a\0b@example.net", 15),
                                                         "a\r\nb@example.net",
                                                         "\xff@example.net",
                                                         "ä@example.net",
                                                         "a@localhost",
                                                         "a@[127.0.0.1]",
                                                         "a@127.0.0.1",
                                                         "a@-x.net",
                                                         "a@x-.net",
                                                         "a@x..net",
                                                         "a@example.net.",
                                                         "a@exa mple.net",
                                                         "a@\xff\xfe.net",
                                                         std::string(65, 'a') + "@example.net",
                                                         "a@" + std::string(64, 'b') + ".net",
                                                         std::string(1 << 20, 'a') + "@example.net",
                                                         "a@" + std::string(1 << 20, 'b')}) {
    EXPECT_FALSE(ParseHostedAddress(bad).ok()) << bad.substr(0, 80);
  }
}

TEST(MailAddress, LimitsAreExact) {
  EXPECT_TRUE(ParseHostedAddress(std::string(64, 'a') + "@example.net").ok());
  EXPECT_TRUE(ParseHostedAddress("a@" + std::string(63, 'b') + ".net").ok());
}

}  // namespace
}  // namespace prov
