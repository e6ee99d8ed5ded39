#include "common/log.h"

#include <gtest/gtest.h>

namespace prov {
namespace {

TEST(Log, ValueFromOutsideCannotForgeALine) {
  EXPECT_EQ(QuoteLogValue("plain-1.2"), "plain-1.2");
  EXPECT_EQ(QuoteLogValue("a\r\nb c=\"d\""), "\"a\\x0d\\x0ab c=\\\"d\\\"\"");
  EXPECT_EQ(QuoteLogValue(""), "\"\"");
}

TEST(Log, UnknownLevelIsRefused) { EXPECT_FALSE(SetLogLevel("loud").ok()); }

}  // namespace
}  // namespace prov
