#include "agents/drivers/site_tree.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agents/state/test_records.h"

namespace prov::drivers {
namespace {

namespace fs = std::filesystem;
using state::TestDirectory;

class Sites : public testing::Test {
 protected:
  // What the name's link in that place shows; empty: there is none.
  std::string Shown(const char* place, const std::string& name) const {
    const fs::path path = fs::path(root()) / place / name;
    return fs::is_symlink(path) ? fs::read_symlink(path).string() : "";
  }
  std::string root() const { return directory_.path() + "/sites"; }

  TestDirectory directory_;
  SiteTree tree_{root()};
};

TEST_F(Sites, NameIsServedSuspendedServedAndGone) {
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(tree_.Put("www.shop.example", "/homes/a", SitePlace::kServed).ok());
    EXPECT_EQ(Shown("served", "www.shop.example"), "/homes/a");
  }
  ASSERT_TRUE(tree_.Put("www.shop.example", "/homes/a", SitePlace::kSuspended).ok());
  EXPECT_EQ(Shown("served", "www.shop.example"), "");
  EXPECT_EQ(Shown("suspended", "www.shop.example"), "/homes/a");
  ASSERT_TRUE(tree_.Put("www.shop.example", "/homes/a", SitePlace::kServed).ok());
  EXPECT_EQ(Shown("suspended", "www.shop.example"), "");
  EXPECT_EQ(Shown("served", "www.shop.example"), "/homes/a");
  ASSERT_TRUE(tree_.Remove("www.shop.example", "/homes/a").ok());
  ASSERT_TRUE(tree_.Remove("www.shop.example", "/homes/a").ok());
  EXPECT_EQ(Shown("served", "www.shop.example"), "");
  ASSERT_TRUE(tree_.Sync().ok());
}

TEST_F(Sites, NameOfAnotherHomeIsNotRemoved) {
  ASSERT_TRUE(tree_.Put("www.shop.example", "/homes/b", SitePlace::kServed).ok());
  ASSERT_TRUE(tree_.Remove("www.shop.example", "/homes/a").ok());
  EXPECT_EQ(Shown("served", "www.shop.example"), "/homes/b");
}

// As a kill between two steps leaves it.
TEST_F(Sites, LinksInBothPlacesBecomeOne) {
  ASSERT_TRUE(tree_.Put("a.example.org", "/homes/a", SitePlace::kServed).ok());
  ASSERT_TRUE(tree_.Put("b.example.org", "/homes/a", SitePlace::kSuspended).ok());
  fs::create_symlink("/homes/a", root() + "/suspended/a.example.org");
  fs::create_symlink("/homes/a", root() + "/served/b.example.org");
  fs::create_symlink("/homes/z", root() + "/served/.new");
  EXPECT_NE(tree_.Compare("a.example.org", "/homes/a", SitePlace::kServed).value(), "");
  ASSERT_TRUE(tree_.Put("a.example.org", "/homes/a", SitePlace::kServed).ok());
  ASSERT_TRUE(tree_.Put("b.example.org", "/homes/b", SitePlace::kServed).ok());
  EXPECT_EQ(Shown("suspended", "a.example.org"), "");
  EXPECT_EQ(Shown("suspended", "b.example.org"), "");
  EXPECT_EQ(Shown("served", "b.example.org"), "/homes/b");
  EXPECT_FALSE(fs::is_symlink(root() + "/served/.new"));
}

TEST_F(Sites, NamesThatLeadOutOfThePlaceAreRefused) {
  for (const char* name : {"", ".", "..", ".htaccess", "../served/a", "a/b", "a\nb", "a b", "\x7f"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(tree_.Put(name, "/homes/a", SitePlace::kServed))) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(tree_.Remove(name, "/homes/a"))) << name;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(tree_.Put(std::string("a\0b", 3), "/homes/a", SitePlace::kServed)));
  EXPECT_TRUE(absl::IsInvalidArgument(tree_.Put(std::string(256, 'a'), "/homes/a", SitePlace::kServed)));
}

TEST_F(Sites, WhatIsNoLinkIsSomebodyElses) {
  ASSERT_TRUE(tree_.Put("other.example.org", "/homes/a", SitePlace::kServed).ok());
  std::ofstream(root() + "/served/www.shop.example") << "by hand";
  EXPECT_TRUE(absl::IsFailedPrecondition(tree_.Put("www.shop.example", "/homes/a", SitePlace::kServed)));
  EXPECT_NE(tree_.Compare("www.shop.example", "/homes/a", SitePlace::kServed).value(), "");
  EXPECT_FALSE(tree_.RemoveLink(SitePlace::kServed, "www.shop.example").ok());
  EXPECT_TRUE(fs::is_regular_file(root() + "/served/www.shop.example"));
}

TEST_F(Sites, CompareTellsEachKindOfDifference) {
  ASSERT_TRUE(tree_.Put("www.shop.example", "/homes/a", SitePlace::kServed).ok());
  const auto compare = [&](const std::string& home, std::optional<SitePlace> place) {
    return tree_.Compare("www.shop.example", home, place).value();
  };
  EXPECT_EQ(compare("/homes/a", SitePlace::kServed), "");
  EXPECT_EQ(compare("/homes/b", std::nullopt), "");
  EXPECT_EQ(compare("/homes/a", std::nullopt), root() + "/served/www.shop.example is still there");
  EXPECT_EQ(compare("/homes/b", SitePlace::kServed), root() + "/served/www.shop.example shows /homes/a");
  EXPECT_EQ(compare("/homes/b", SitePlace::kSuspended), root() + "/suspended/www.shop.example is missing");
}

}  // namespace
}  // namespace prov::drivers
