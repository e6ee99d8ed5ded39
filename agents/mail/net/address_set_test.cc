#include "agents/mail/net/address_set.h"

#include <gtest/gtest.h>

namespace prov::net {
namespace {

TEST(AddressSet, HoldsAddressesAndNetworksOfBothFamilies) {
  const auto set = AddressSet::Parse({"127.0.0.1", "192.0.2.0/25", "2001:db8::/33", "10.0.0.0/8"});
  ASSERT_TRUE(set.ok()) << set.status();
  for (const char* inside :
       {"127.0.0.1", "::ffff:127.0.0.1", "192.0.2.127", "2001:db8:7fff::1", "10.9.8.7"}) {
    EXPECT_TRUE(set->Contains(inside)) << inside;
  }
  for (const char* outside : {"127.0.0.2", "192.0.2.128", "2001:db8:8000::1", "11.0.0.0", "::1", "", "x"}) {
    EXPECT_FALSE(set->Contains(outside)) << outside;
  }
}

TEST(AddressSet, NamesWhatIsNoNetwork) {
  for (const char* bad : {"", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "1.2.3"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(AddressSet::Parse({bad}).status())) << bad;
  }
}

}  // namespace
}  // namespace prov::net
