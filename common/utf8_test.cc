#include "common/utf8.h"

#include <gtest/gtest.h>

namespace prov {
namespace {

TEST(Utf8, IsCutBetweenCharacters) {
  EXPECT_EQ(FirstOctetsOfUtf8("Zürich", 2), "Z");
  EXPECT_EQ(FirstOctetsOfUtf8("Zürich", 3), "Zü");
  EXPECT_EQ(FirstOctetsOfUtf8("Zürich", 7), "Zürich");
  EXPECT_EQ(FirstOctetsOfUtf8("Zürich", 100), "Zürich");
  EXPECT_EQ(FirstOctetsOfUtf8("\xe2\x82\xac", 2), "");
  EXPECT_EQ(FirstOctetsOfUtf8("", 0), "");
}

}  // namespace
}  // namespace prov
