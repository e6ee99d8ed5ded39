#include "cli/field_changes.h"

#include <gtest/gtest.h>

namespace prov::cli {
namespace {

using Changes = std::vector<FieldChange>;

TEST(FieldChanges, TellsEachFieldThatDiffers) {
  EXPECT_EQ(
      ChangesBetween(R"({"login":"a@b","state":"ACTIVE","entitlements":{"mail":true},"labels":{"k":"1"}})",
                     R"({"login":"a@b","state":"SUSPENDED","entitlements":{"mail":true,"ftp":true}})"),
      (Changes{{"entitlements.ftp", "false", "true"},
               {"labels.k", "\"1\"", ""},
               {"state", "\"ACTIVE\"", "\"SUSPENDED\""}}));
}

TEST(FieldChanges, LeavesOutWhatEveryWriteChanges) {
  EXPECT_EQ(ChangesBetween(R"({"revision":"1","etag":"1","update_time":"x"})",
                           R"({"revision":"2","etag":"2","update_time":"y"})"),
            Changes{});
}

TEST(FieldChanges, NothingBeforeOrAfterIsNoError) {
  EXPECT_EQ(ChangesBetween("", R"({"login":"a"})"), (Changes{{"login", "", "\"a\""}}));
  EXPECT_EQ(ChangesBetween("", R"({"mail":true})"), (Changes{{"mail", "", "true"}}));
  EXPECT_EQ(ChangesBetween(R"({"login":"a"})", ""), (Changes{{"login", "\"a\"", ""}}));
  EXPECT_EQ(ChangesBetween("", ""), Changes{});
  EXPECT_EQ(ChangesBetween("not json", "[1]"), Changes{});
}

TEST(FieldChanges, ValuesReadWell) {
  EXPECT_EQ(ValueText("\"non-payment\""), "non-payment");
  EXPECT_EQ(ValueText(R"(["a@b","c@d"])"), "a@b, c@d");
  EXPECT_EQ(ValueText("true"), "true");
  EXPECT_EQ(ValueText("[]"), "none");
  EXPECT_EQ(ValueText(""), "none");
}

TEST(FieldChanges, DeepNestingEnds) {
  std::string deep = "1";
  for (int i = 0; i < 1000; ++i) deep = "{\"x\":" + deep + "}";
  EXPECT_EQ(ChangesBetween("", deep).size(), 1u);
}

}  // namespace
}  // namespace prov::cli
