#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "server/store/store_fixture.h"
#include "server/store/web_name_repository.h"

namespace prov::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WebNames : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    AddPool("main");
    AddDomain("example.net");
    for (const char* login : {"alice@example.net", "bob@example.net"}) {
      ASSERT_TRUE(Write([&](WriteTransaction& write) {
                    return Done(SubscriberRepository::Insert(write, NewSubscriber(login)));
                  }).ok());
    }
  }

  // What could not be given.
  std::vector<std::string> Change(const std::vector<WebNameRepository::Edit>& edits) {
    std::vector<std::string> refused;
    const auto written = Write([&](WriteTransaction& write) -> absl::StatusOr<WriteResult> {
      PROV_ASSIGN_OR_RETURN(refused, WebNameRepository::Change(write, edits));
      return WriteResult();
    });
    EXPECT_TRUE(written.ok()) << written.status();
    return refused;
  }
  std::vector<std::string> NamesOf(const std::string& login) {
    return SubscriberRepository(*pool_).Get(login).value().web_names;
  }
  int64_t IdOf(const std::string& login) { return SubscriberRepository(*pool_).Get(login).value().id; }
};

TEST_F(WebNames, BelongToOneSubscriberEach) {
  const int64_t alice = IdOf("alice@example.net"), bob = IdOf("bob@example.net");
  EXPECT_THAT(Change({{alice, {"www.shop.example", "shop.example"}, {}}}), IsEmpty());
  EXPECT_THAT(NamesOf("alice@example.net"), ElementsAre("shop.example", "www.shop.example"));
  EXPECT_THAT(Change({{bob, {"bob.example", "www.shop.example"}, {}}}), ElementsAre("www.shop.example"));
  // What one gives away another may take in the same write; what is another's is not taken away by naming it.
  EXPECT_THAT(Change({{bob, {"www.shop.example"}, {"shop.example"}}, {alice, {}, {"www.shop.example"}}}),
              IsEmpty());
  EXPECT_THAT(NamesOf("alice@example.net"), ElementsAre("shop.example"));
  EXPECT_THAT(NamesOf("bob@example.net"), ElementsAre("bob.example", "www.shop.example"));
  SubscriberQuery query;
  query.web_name = "shop.example";
  const auto found = SubscriberRepository(*pool_).List(query);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().login, "alice@example.net");
}

TEST_F(WebNames, AreReservedAfterAPurgeAndThenFree) {
  const int64_t alice = IdOf("alice@example.net"), bob = IdOf("bob@example.net");
  EXPECT_THAT(Change({{alice, {"www.shop.example"}, {}}}), IsEmpty());
  ASSERT_TRUE(Write([&](WriteTransaction& write) {
                return Done(WebNameRepository::Reserve(write, alice, 30));
              }).ok());
  EXPECT_THAT(NamesOf("alice@example.net"), IsEmpty());
  EXPECT_THAT(Change({{bob, {"www.shop.example"}, {}}}), ElementsAre("www.shop.example"));
  Sql("UPDATE prov.web_name SET reserved_until = now() - interval '1 second'");
  EXPECT_THAT(Change({{bob, {"www.shop.example"}, {}}}), IsEmpty());
  EXPECT_THAT(NamesOf("bob@example.net"), ElementsAre("www.shop.example"));
}

}  // namespace
}  // namespace prov::store
