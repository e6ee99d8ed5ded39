#include "agents/mail/smtp/path.h"

#include <gtest/gtest.h>

namespace prov::smtp {
namespace {

absl::StatusOr<Path> Parse(std::string_view text) { return ParsePath(text); }

TEST(Path, ReadsWhatRfc5321Allows) {
  EXPECT_EQ(Parse("<>")->form, Path::Form::kNull);
  EXPECT_EQ(Parse("<PostMaster>")->form, Path::Form::kPostmaster);
  const auto plain = Parse("<A.b+c@Example.NET> SIZE=1");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->local_part, "A.b+c");
  EXPECT_EQ(plain->domain, "example.net");
  EXPECT_EQ(plain->text, "A.b+c@Example.NET");
  const auto quoted = Parse("<\"a b\\\"@x\"@example.net>");
  ASSERT_TRUE(quoted.ok());
  EXPECT_TRUE(quoted->quoted);
  EXPECT_EQ(quoted->local_part, "a b\"@x");
  EXPECT_EQ(quoted->text, "\"a b\\\"@x\"@example.net");
  EXPECT_TRUE(Parse("<a@[192.0.2.1]>")->literal);
  EXPECT_TRUE(Parse("<a@[IPv6:2001:db8::1]>")->literal);
  EXPECT_TRUE(Parse("<@x.example,@y.example:a@b.example>")->source_route);
  EXPECT_EQ(Parse("<@x.example:a@b.example>")->text, "a@b.example");
  EXPECT_TRUE(Parse("<\"\"@example.net>")->quoted);
  EXPECT_TRUE(Parse("<root@localhost>").ok());
  EXPECT_TRUE(
      Parse("<SRS0=fpJn=G3=a-rather-long-domain.example.org=with-a-long-local-part-too@srs.example.net>")
          .ok());
}

TEST(Path, WhatIsBeyondAsciiIsUtf8AndDomainsBecomeALabels) {
  const auto path = Parse(
      "<j\xc3\xbcrgen@B\xc3\xbc"
      "cher.example>");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(path->utf8);
  EXPECT_EQ(path->domain, "xn--bcher-kva.example");
  EXPECT_EQ(path->text, "j\xc3\xbcrgen@xn--bcher-kva.example");
  EXPECT_FALSE(Parse("<a@b\xc3\xbc"
                     "cher.example>")
                   ->utf8);
  for (const char* bad :
       {"<\xff@example.net>", "<a@\xff.example>", "<\"a>\xff\"@example.net>", "<\xc3@example.net>"}) {
    EXPECT_FALSE(Parse(bad).ok()) << bad;
  }
}

TEST(Path, LeavesWhatFollows) {
  std::string_view input = "<a@b.example> X";
  ASSERT_TRUE(ParsePath(input).ok());
  EXPECT_EQ(input, " X");
}

TEST(Path, RefusesEverythingElse) {
  const std::string long_local = "<" + std::string(201, 'a') + "@example.net>";
  const std::string long_label = "<a@" + std::string(64, 'a') + ".net>";
  const std::string long_path = "<" + std::string(5000, 'a') + "@example.net>";
  for (const std::string& bad : std::vector<std::string>{"",
                                                         "<",
                                                         "a@b",
                                                         "<a",
                                                         "<a@>",
                                                         "<@b>",
                                                         "<a@b",
                                                         "<a b@c>",
                                                         "<a@b@c>",
                                                         "<.a@b>",
                                                         "<a.@b>",
                                                         "<a..b@c>",
                                                         "<a@.b>",
                                                         "<a@b.>",
                                                         "<a@b..c>",
                                                         "<a@-b>",
                                                         "<a@b->",
                                                         "<;sh;>",
                                                         "<\"a@b>",
                                                         "<\"a\"b@c>",
                                                         "<a@[>",
                                                         "<a@[]>",
                                                         "<a@[1.2.3.4>",
                                                         "<a@[x y]>",
                                                         "<user>",
                                                         "<\"postmaster\">",
                                                         "<a\x80@b>",
                                                         "<\"\x80\"@b>",
                                                         "<\"a\tb\"@c>",
                                                         "<@a:>",
                                                         "<@a b@c>",
                                                         "<(c)a@b>",
                                                         "<*@b c>",
                                                         "<a@b)(uid=*>",
                                                         long_local,
                                                         long_label,
                                                         long_path}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Parse(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace prov::smtp
