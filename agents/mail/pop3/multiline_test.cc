#include "agents/mail/pop3/multiline.h"

#include <gtest/gtest.h>

namespace prov::pop3 {
namespace {

// The same whatever the pieces.
std::string Encode(std::string_view wire, std::optional<uint64_t> lines = std::nullopt) {
  std::string expected;
  for (size_t piece = wire.size() + 1; piece > 0; --piece) {
    Multiline multiline(lines);
    std::string out;
    for (size_t at = 0; at < wire.size(); at += piece) {
      if (!multiline.Encode(wire.substr(at, piece), out)) break;
    }
    multiline.Finish(out);
    if (expected.empty()) expected = out;
    EXPECT_EQ(out, expected) << "in pieces of " << piece;
  }
  return expected;
}

TEST(Multiline, StuffsDotLinesAtStartMiddleAndEnd) {
  EXPECT_EQ(Encode(".\r\n"), "..\r\n.\r\n");
  EXPECT_EQ(Encode("A: b\r\n\r\n.\r\n..x\r\na.b\r\n.\r\n"), "A: b\r\n\r\n..\r\n...x\r\na.b\r\n..\r\n.\r\n");
}

TEST(Multiline, EndsWithCrlfEvenWithoutAFinalNewline) {
  EXPECT_EQ(Encode("A: b\r\n\r\nlast"), "A: b\r\n\r\nlast\r\n.\r\n");
  EXPECT_EQ(Encode("."), "..\r\n.\r\n");
  EXPECT_EQ(Encode(""), ".\r\n");
}

TEST(Multiline, PassesEightBitNulsAndLongLines) {
  const std::string odd = std::string("\xff\x80\0\x01", 4) + std::string(100'000, 'x');
  Multiline multiline(std::nullopt);
  std::string out;
  EXPECT_TRUE(multiline.Encode(odd + "\r\n", out));
  multiline.Finish(out);
  EXPECT_EQ(out, odd + "\r\n.\r\n");
}

TEST(Multiline, TopCutsAfterTheBodysLines) {
  const std::string message = "A: b\r\nC: d\r\n\r\none\r\n.two\r\n\r\nthree\r\n";
  EXPECT_EQ(Encode(message, 0), "A: b\r\nC: d\r\n\r\n.\r\n");
  EXPECT_EQ(Encode(message, 1), "A: b\r\nC: d\r\n\r\none\r\n.\r\n");
  EXPECT_EQ(Encode(message, 3), "A: b\r\nC: d\r\n\r\none\r\n..two\r\n\r\n.\r\n");
  EXPECT_EQ(Encode(message, 99), "A: b\r\nC: d\r\n\r\none\r\n..two\r\n\r\nthree\r\n.\r\n");
  EXPECT_EQ(Encode(message, UINT64_MAX), Encode(message));
}

TEST(Multiline, TopOfAMessageWithoutBodyOrHeader) {
  EXPECT_EQ(Encode("A: b\r\n", 0), "A: b\r\n.\r\n");
  EXPECT_EQ(Encode("\r\nbody\r\n", 0), "\r\n.\r\n");
}

}  // namespace
}  // namespace prov::pop3
