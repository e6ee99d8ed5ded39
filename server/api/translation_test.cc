#include "server/api/translation.h"

#include <gtest/gtest.h>

#include "common/status.h"
#include "server/api/filter.h"
#include "server/api/page_token.h"
#include "server/api/resource_names.h"
#include "server/api/subscriber_update.h"

namespace prov::api {
namespace {

TEST(Names, IdOrLoginIsTakenAndNothingElse) {
  EXPECT_EQ(SubscriberKeyOf("name", "subscribers/1042").value(), "1042");
  EXPECT_EQ(SubscriberKeyOf("name", "subscribers/Alice@Example.NET").value(), "alice@example.net");
  for (const char* bad : {"", "subscribers/", "subscribers/../1", "domains/1", "1042",
                          "subscribers/a b@example.net", "subscribers/9999999999999999999999"}) {
    const auto key = SubscriberKeyOf("name", bad);
    ASSERT_FALSE(key.ok()) << bad;
    EXPECT_EQ(ViolationsOf(key.status()).at(0).field, "name");
  }
}

TEST(PageToken, BelongsToItsQuery) {
  const std::string token = MakePageToken("query", "1042");
  EXPECT_EQ(ReadPageToken("query", token).value(), "1042");
  EXPECT_EQ(ReadPageToken("query", "").value(), "");
  for (const std::string& bad :
       {MakePageToken("other", "1042"), std::string("!!!"), std::string("AAAA"), std::string(100'000, 'A')}) {
    EXPECT_EQ(ViolationsOf(ReadPageToken("query", bad).status()).at(0).field, "page_token");
  }
  EXPECT_FALSE(PageSize(-1).ok());
  EXPECT_EQ(PageSize(0).value(), 100u);
  EXPECT_EQ(PageSize(1 << 30).value(), 1000u);
}

TEST(Filter, TermsAreParsed) {
  const auto query = ParseSubscriberFilter(
      R"(state = "SUSPENDED" AND domain="Example.net"  AND login = "ali*" AND labels.billing = "a\"b")");
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->state, model::State::kSuspended);
  EXPECT_EQ(query->domain, "example.net");
  EXPECT_EQ(query->login_prefix, "ali");
  EXPECT_EQ(query->labels.at("billing"), "a\"b");
  EXPECT_EQ(ParseSubscriberFilter("login = \"a@b.c\"")->login, "a@b.c");
  EXPECT_TRUE(ParseSubscriberFilter("").ok());
}

TEST(Filter, HelpdeskLooksUpAndDoesNotList) {
  for (const char* filter : {"login = \"ali*\"", "login = \"alice@example.net\"", "labels.crm = \"4711\"",
                             "domain = \"example.net\" AND login = \"bob*\""}) {
    EXPECT_TRUE(CheckLookUp(*ParseSubscriberFilter(filter)).ok()) << filter;
  }
  for (const char* filter :
       {"", "login = \"*\"", "login = \"al*\"", "domain = \"example.net\"", "state = \"ACTIVE\""}) {
    EXPECT_TRUE(absl::IsPermissionDenied(CheckLookUp(*ParseSubscriberFilter(filter)))) << filter;
  }
}

TEST(Filter, WhatItDoesNotKnowIsRefusedByName) {
  for (const std::string& bad : std::vector<std::string>{
           "state", "state = SUSPENDED", "state = \"GONE\"", "password = \"x\"",
           "state = \"ACTIVE\" OR login = \"x\"", "login = \"unclosed", "labels. = \"x\"", "= \"x\"",
           std::string(100'000, 'x'), "login = \"\xff\""}) {
    const auto query = ParseSubscriberFilter(bad);
    ASSERT_FALSE(query.ok()) << bad.substr(0, 60);
    EXPECT_EQ(ViolationsOf(query.status()).at(0).field, "filter");
  }
}

TEST(Update, MaskNamesUpdatableFieldsOnly) {
  v1::UpdateSubscriberRequest request;
  request.mutable_subscriber()->set_display_name("New");
  request.mutable_subscriber()->set_plan("gold");
  request.mutable_update_mask()->add_paths("display_name");
  ASSERT_TRUE(CheckUpdate(request).ok());
  model::Subscriber subscriber;
  subscriber.plan = "silver";
  ApplyUpdate(request, subscriber);
  EXPECT_EQ(subscriber.display_name, "New");
  EXPECT_EQ(subscriber.plan, "silver");
  request.mutable_update_mask()->add_paths("login");
  EXPECT_EQ(ViolationsOf(CheckUpdate(request)).at(0).field, "update_mask");
}

TEST(Update, EmptyMaskMeansEverySetField) {
  v1::UpdateSubscriberRequest request;
  request.mutable_subscriber()->set_plan("gold");
  model::Subscriber subscriber;
  subscriber.display_name = "Kept";
  ApplyUpdate(request, subscriber);
  EXPECT_EQ(subscriber.plan, "gold");
  EXPECT_EQ(subscriber.display_name, "Kept");
}

TEST(Etag, OldOnesAreRefused) {
  EXPECT_TRUE(CheckEtag("", 7).ok());
  EXPECT_TRUE(CheckEtag(EtagOf(7), 7).ok());
  EXPECT_EQ(CheckEtag(EtagOf(6), 7).code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace prov::api
