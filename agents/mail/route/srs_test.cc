#include "agents/mail/route/srs.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace prov::route {
namespace {

using std::chrono::hours;

const SenderRewriting::Time kNow{std::chrono::seconds(1'700'000'000)};

SenderRewriting Srs(std::vector<std::string> secrets = {"first-secret"}) {
  return SenderRewriting("srs.example.net", std::move(secrets));
}

std::string LocalOf(const std::string& address) { return address.substr(0, address.rfind('@')); }

// As python3-srs, a translation of Mail::SRS, writes them with this secret at this time.
TEST(Srs, RewritesAsOthersDo) {
  EXPECT_EQ(Srs().Rewrite("alice@example.org", kNow), "SRS0=fpJn=G3=example.org=alice@srs.example.net");
  EXPECT_EQ(Srs().Rewrite("Bob.Jones+x@mail.example.com", kNow),
            "SRS0=yx58=G3=mail.example.com=Bob.Jones+x@srs.example.net");
  EXPECT_EQ(Srs().Rewrite("SRS0=fpJn=G3=example.org=alice@other.example.com", kNow),
            "SRS1=5hGC=other.example.com==fpJn=G3=example.org=alice@srs.example.net");
  EXPECT_EQ(Srs().Rewrite("SRS1=XXXX=other.example.com==fpJn=G3=example.org=alice@second.example", kNow),
            "SRS1=5hGC=other.example.com==fpJn=G3=example.org=alice@srs.example.net");
}

TEST(Srs, LeadsBackToTheSender) {
  for (const char* sender : {"alice@example.org", "Bob.Jones+x@mail.example.com", "a=b=c@example.org"}) {
    const std::string rewritten = Srs().Rewrite(sender, kNow);
    EXPECT_TRUE(Srs().IsRewritten(LocalOf(rewritten), "SRS.example.net"));
    EXPECT_EQ(*Srs().Restore(LocalOf(rewritten), kNow + hours(24 * 5)), sender);
  }
  EXPECT_EQ(*Srs().Restore("SRS1=5hGC=other.example.com==fpJn=G3=example.org=alice", kNow),
            "SRS0=fpJn=G3=example.org=alice@other.example.com");
}

TEST(Srs, HostsOnTheWayMayFoldIt) {
  std::string local = LocalOf(Srs().Rewrite("alice@example.org", kNow));
  std::transform(local.begin(), local.end(), local.begin(), ::tolower);
  EXPECT_EQ(*Srs().Restore(local, kNow), "alice@example.org");
}

TEST(Srs, WhatWasNotSignedHereLeadsNowhere) {
  const std::string local = LocalOf(Srs().Rewrite("alice@example.org", kNow));
  for (size_t i = 5; i < local.size(); ++i) {
    std::string changed = local;
    changed[i] = changed[i] == 'q' ? 'r' : 'q';
    EXPECT_FALSE(Srs().Restore(changed, kNow).ok()) << changed;
  }
  for (const char* bad : {"SRS0", "SRS0=", "SRS0==", "SRS0=fpJn", "SRS0=fpJn=G3", "SRS0=fpJn=G3=example.org",
                          "SRS0=fpJn=G3=example.org=", "SRS0=fpJn=G3==alice", "SRS1=", "SRS1=5hGC=x", "alice",
                          "SRS00=fpJn=G3=example.org=alice"}) {
    EXPECT_FALSE(Srs().Restore(bad, kNow).ok()) << bad;
  }
  EXPECT_FALSE(Srs({"another"}).Restore(local, kNow).ok());
}

TEST(Srs, ANewSecretLeavesTheOldOnesAddressesGood) {
  const std::string local = LocalOf(Srs().Rewrite("alice@example.org", kNow));
  EXPECT_TRUE(Srs({"second", "first-secret"}).Restore(local, kNow).ok());
}

TEST(Srs, AnOldAddressIsNoneAnyMore) {
  const std::string local = LocalOf(Srs().Rewrite("alice@example.org", kNow));
  EXPECT_TRUE(Srs().Restore(local, kNow + hours(24 * kSrsDays)).ok());
  EXPECT_FALSE(Srs().Restore(local, kNow + hours(24 * (kSrsDays + 2))).ok());
  EXPECT_FALSE(Srs().Restore(local, kNow - hours(24 * 2)).ok());  // of the future
  EXPECT_TRUE(Srs().Restore(local, std::nullopt).ok());
}

TEST(Srs, WhatNobodyWouldTakeAndWhatIsOursStaysAsItIs) {
  for (const char* sender : {"\"john doe\"@x.example", "root@[192.0.2.1]", "a%b@x.example", "a!b@x.example",
                             "SRS0=fpJn=G3=example.org=alice@SRS.example.net", "alice@srs.example.net"}) {
    EXPECT_EQ(Srs().Rewrite(sender, kNow), sender);
  }
}

TEST(Srs, WhatWouldBeTooLongStaysAsItIs) {
  const std::string sender = std::string(60, 'a') + "@" + std::string(60, 'b') + "." + std::string(60, 'c') +
                             "." + std::string(60, 'd') + ".example";
  EXPECT_EQ(Srs().Rewrite(sender, kNow), sender);
}

}  // namespace
}  // namespace prov::route
