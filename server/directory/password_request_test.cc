#include "server/directory/password_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

#include "absl/strings/escaping.h"

namespace prov::directory {
namespace {

constexpr char kAlice[] = "uid=a\\2Bb@example.net,ou=people,o=prov";
constexpr char kOid[] = "1.3.6.1.4.1.4203.1.11.1";

std::string Element(unsigned char tag, const std::string& content) {
  std::string element(1, static_cast<char>(tag));
  if (content.size() >= 0x80) {
    element += '\x82';
    element += static_cast<char>(content.size() >> 8);
  }
  element += static_cast<char>(content.size() & 0xff);
  return element + content;
}

// RFC 3062 section 2.
std::string Value(const std::optional<std::string>& identity, const std::optional<std::string>& before,
                  const std::optional<std::string>& after) {
  std::string content;
  if (identity) content += Element(0x80, *identity);
  if (before) content += Element(0x81, *before);
  if (after) content += Element(0x82, *after);
  return Element(0x30, content);
}

// As slapd 2.5 writes it.
std::string Request(const std::string& value, const std::string& bound = kAlice,
                    const std::string& ssf = "71") {
  return fmt::format(
      "EXTENDED\nmsgid: 2\nbinddn: {}\npeername: IP=192.0.2.1:4711\nssf: {}\nsuffix: o=prov\noid: {}\nvalue: "
      "{}\n\n",
      bound, ssf, kOid, absl::Base64Escape(value));
}

absl::StatusCode CodeOf(const std::string& text) {
  return ParsePasswordRequest(text, "o=prov").status().code();
}

TEST(PasswordRequest, IsReadAsSlapdSendsIt) {
  const auto request = ParsePasswordRequest(Request(Value(kAlice, "old one", "new one")), "o=prov");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->login, "a+b@example.net");
  EXPECT_EQ(request->peer, "IP=192.0.2.1:4711");
  EXPECT_EQ(request->old_password, "old one");
  EXPECT_EQ(request->new_password, "new one");
  // Without an identity it is that of who is bound; names are compared by what they mean.
  EXPECT_TRUE(ParsePasswordRequest(Request(Value({}, "o", "n")), "O=Prov").ok());
  const std::string loud = "uid=A\\2BB@EXAMPLE.NET,ou=people,o=prov";
  EXPECT_EQ(ParsePasswordRequest(Request(Value(kAlice, "o", "n"), loud), "o=prov")->login, "a+b@example.net");
  EXPECT_TRUE(
      ParsePasswordRequest(Request(Value("uid=a\\+b@example.net,OU=People,o=prov", "o", "n")), "o=prov")
          .ok());
  EXPECT_TRUE(ParsePasswordRequest(Request(Value({}, "o", std::string(500, 'x'))), "o=prov").ok());
}

TEST(PasswordRequest, NobodyChangesAnothersPassword) {
  const std::string value = Value({}, "old", "new");
  EXPECT_EQ(CodeOf(Request(Value("uid=bob@example.net,ou=people,o=prov", "old", "new"))),
            absl::StatusCode::kPermissionDenied);
  for (const char* bound :
       {"", "cn=publisher,ou=services,o=prov", "uid=a,ou=services,o=prov", "uid=a,ou=x,ou=people,o=prov",
        "uid=a+cn=b,ou=people,o=prov", "cn=a,ou=people,o=prov", "ou=people,o=prov", "uid=a,ou=people,o=other",
        "no name", "uid=#04016,ou=people,o=prov"}) {
    EXPECT_EQ(CodeOf(Request(value, bound)), absl::StatusCode::kPermissionDenied) << bound;
  }
  EXPECT_EQ(CodeOf(Request(Value("alice", "old", "new"))), absl::StatusCode::kPermissionDenied);
}

TEST(PasswordRequest, NothingTravelsInClear) {
  for (const char* ssf : {"0", ""})
    EXPECT_EQ(CodeOf(Request(Value({}, "old", "new"), kAlice, ssf)), absl::StatusCode::kPermissionDenied);
}

TEST(PasswordRequest, BothPasswordsAreNeeded) {
  using namespace std::string_literals;
  for (const std::string& value :
       {Value({}, {}, "new"), Value({}, "old", {}), Value({}, "", "new"), Value({}, "old", ""),
        Value({}, {}, {}), Value({}, "o\0d"s, "new"), Value({}, "old", "n\0w"s)}) {
    EXPECT_EQ(CodeOf(Request(value)), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(PasswordRequest, WhatIsMalformedIsRefused) {
  const std::string value = Value({}, "old", "new");
  const std::string good = Request(value);
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(CodeOf(good.substr(0, size)), absl::StatusCode::kInvalidArgument) << size;
  for (size_t size = 0; size < value.size(); ++size)
    EXPECT_FALSE(ParsePasswordRequest(Request(value.substr(0, size)), "o=prov").ok()) << size;
  for (const std::string& odd :
       {value + "x", Element(0x30, Element(0x82, "new") + Element(0x81, "old")),
        Element(0x30, Element(0x81, "old") + Element(0x81, "older") + Element(0x82, "new")),
        Element(0x30, Element(0x83, "x")), Element(0x31, Element(0x81, "old")),
        std::string("\x30\x84\xff\xff\xff\xff"), std::string("\x30\x80\x81\x01o\x82\x01n")}) {
    EXPECT_EQ(CodeOf(Request(odd)), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(CodeOf(good + "x"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf("MODIFY\n\n"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(Request(Value({}, "old", std::string(9000, 'x')))), absl::StatusCode::kInvalidArgument);
  std::string other = good;
  other.replace(other.find(kOid), 1, "2");
  EXPECT_EQ(CodeOf(other), absl::StatusCode::kInvalidArgument);
  std::string twice = good;
  twice.insert(twice.find("ssf"), "binddn: uid=bob@example.net,ou=people,o=prov\n");
  EXPECT_EQ(CodeOf(twice), absl::StatusCode::kInvalidArgument);
}

TEST(PasswordReply, SaysNoMoreThanTheClientMayKnow) {
  EXPECT_EQ(PasswordReply(absl::OkStatus()), "RESULT\ncode: 0\n");
  EXPECT_EQ(PasswordReply(absl::InvalidArgumentError("is too\nweak")),
            "RESULT\ncode: 19\ninfo:is too weak\n");
  EXPECT_EQ(PasswordReply(absl::UnauthenticatedError("wrong")), "RESULT\ncode: 49\ninfo:wrong\n");
  EXPECT_EQ(PasswordReply(absl::ResourceExhaustedError("busy")), "RESULT\ncode: 51\ninfo:busy\n");
  EXPECT_EQ(PasswordReply(absl::UnavailableError("host=db1 user=prov refused")).find("db1"),
            std::string::npos);
  EXPECT_EQ(PasswordReply(absl::InternalError("secret of the house")).find("secret"), std::string::npos);
  EXPECT_LT(PasswordReply(absl::InvalidArgumentError(std::string(10'000, 'x'))).size(), 300u);
}

}  // namespace
}  // namespace prov::directory
