#include "server/model/web_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status.h"

namespace prov::model {
namespace {

using ::testing::ElementsAre;

TEST(WebNames, AreNormalisedSortedAndThereOnce) {
  std::vector<std::string> names = {"WWW.Shop.example", "b\u00fccher.example", "www.shop.example"};
  ASSERT_TRUE(CheckWebNames("web_names", names).ok());
  EXPECT_THAT(names, ElementsAre("www.shop.example", "xn--bcher-kva.example"));
}

TEST(WebNames, WhatIsNoHostNameIsRefused) {
  for (const char* name :
       {"", "localhost", ".", "..", "a..example", "-a.example", "a_b.example", "*.shop.example",
        "shop.example/..", "shop.example\n", "shop.example:80", "192.0.2.1", "a b.example"}) {
    std::vector<std::string> names = {"good.example", name};
    const absl::Status status = CheckWebNames("web_names", names);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(ViolationsOf(status).front().field, "web_names");
  }
}

TEST(WebNames, MoreThanTheLimitAreRefused) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kMaxWebNames; ++i) names.push_back("www" + std::to_string(i) + ".example.org");
  EXPECT_TRUE(CheckWebNames("web_names", names).ok());
  names.push_back("one-more.example.org");
  EXPECT_FALSE(CheckWebNames("web_names", names).ok());
}

TEST(WebNames, DomainsOverANameReachUpToTwoLabels) {
  EXPECT_THAT(DomainsOver("www.shop.example.net"),
              ElementsAre("www.shop.example.net", "shop.example.net", "example.net"));
  EXPECT_THAT(DomainsOver("example.net"), ElementsAre("example.net"));
}

}  // namespace
}  // namespace prov::model
