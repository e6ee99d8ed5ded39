#include "common/ldap/filter.h"

#include <gtest/gtest.h>

#include "common/ldap/dn.h"

namespace prov::ldap {
namespace {

TEST(Filter, ValuesCannotLeaveTheirPlace) {
  EXPECT_EQ(Filter::Equal("uid", "alice@example.net").ToString(), "(uid=alice@example.net)");
  EXPECT_EQ(Filter::Equal("uid", "*").ToString(), "(uid=\\2a)");
  EXPECT_EQ(Filter::Equal("uid", ")(uid=*").ToString(), "(uid=\\29\\28uid=\\2a)");
  EXPECT_EQ(Filter::Equal("uid", "\\").ToString(), "(uid=\\5c)");
  EXPECT_EQ(Filter::Equal("uid", std::string_view("\0", 1)).ToString(), "(uid=\\00)");
  EXPECT_EQ(Filter::Equal("cn", "\xC3\xA9\xFF").ToString(), "(cn=\\c3\\a9\\ff)");
}

TEST(Filter, Combines) {
  EXPECT_EQ(Filter::And({Filter::Present("uid"), Filter::Not(Filter::Equal("a", "b"))}).ToString(),
            "(&(uid=*)(!(a=b)))");
  EXPECT_EQ(Filter::Or({}).ToString(), "(|)");
}

TEST(Dn, ValuesCannotLeaveTheirPlace) {
  EXPECT_EQ(ChildDn("uid", "a+b@example.net", "ou=people,o=prov"), "uid=a\\2Bb@example.net,ou=people,o=prov");
  EXPECT_EQ(ChildDn("uid", "x,o=prov", "o=prov"), "uid=x\\2Co\\3Dprov,o=prov");
  EXPECT_EQ(ChildDn("cn", " # ", "o=prov"), "cn=\\20\\23\\20,o=prov");
  EXPECT_EQ(ChildDn("cn", std::string_view("\0\"\\", 3), "o=prov"), "cn=\\00\\22\\5C,o=prov");
  EXPECT_TRUE(IsDn(ChildDn("cn", "\xFF;<>\n", "o=prov")));
}

TEST(Dn, ChildValueIsWhatChildDnWasMadeOf) {
  for (const std::string& value : {std::string("a+b@example.net"), std::string("x,o=prov"),
                                   std::string(" # "), std::string("\"\\;<>"), std::string("\xC3\xA9")}) {
    EXPECT_EQ(ChildValue("uid", ChildDn("uid", value, "ou=people,o=prov"), "ou=people,o=prov"), value);
  }
  EXPECT_EQ(ChildValue("uid", "UID=alice, OU=People , o=PROV", "ou=people,o=prov"), "alice");
  for (const char* other :
       {"uid=a,o=prov", "uid=a,uid=b,ou=people,o=prov", "cn=a,ou=people,o=prov", "ou=people,o=prov",
        "uid=a+cn=b,ou=people,o=prov", "uid=a,ou=people,o=prov2", "", "alice", "uid=a,ou=people"}) {
    EXPECT_EQ(ChildValue("uid", other, "ou=people,o=prov"), std::nullopt) << other;
  }
  EXPECT_EQ(ChildValue("uid", "uid=a", ""), std::nullopt);
}

TEST(Dn, IsDnTellsNamesFromOtherText) {
  EXPECT_TRUE(IsDn("dc=example,dc=net"));
  EXPECT_FALSE(IsDn(""));
  EXPECT_FALSE(IsDn("example.net"));
  EXPECT_FALSE(IsDn("o=prov,"));
}

}  // namespace
}  // namespace prov::ldap
