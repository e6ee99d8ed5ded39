#include "server/directory/mapping.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "server/directory/memory_truth.h"

namespace prov::directory {
namespace {

using ldap::Values;

const MappingOptions kOptions{.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"};

ldap::Attributes AttributesOf(const model::Subscriber& subscriber) {
  return SubscriberEntry(subscriber, kOptions)->attributes;
}

TEST(Mapping, ActiveSubscriberHasAllThatReadersNeed) {
  model::Subscriber subscriber = TestSubscriber(7, "alice+x@example.net");
  subscriber.display_name = " Alice van Dyke ";
  subscriber.addresses = {"alice+x@example.net", "z@example.net", "b@example.net"};
  subscriber.revision = 12;
  subscriber.quota_bytes = 5;
  const ldap::Entry entry = *SubscriberEntry(subscriber, kOptions);
  EXPECT_EQ(entry.dn, "uid=alice\\2Bx@example.net,ou=people,o=prov");
  const ldap::Attributes& has = entry.attributes;
  EXPECT_EQ(has.at("cn"), Values{"Alice van Dyke"});
  EXPECT_EQ(has.at("sn"), Values{"Dyke"});
  EXPECT_EQ(has.at("uidNumber"), Values{"100007"});
  EXPECT_EQ(has.at("gidNumber"), Values{"100007"});
  EXPECT_EQ(has.at("mail"), Values{"alice+x@example.net"});
  EXPECT_EQ(has.at("mailHost"), Values{"main"});
  EXPECT_EQ(has.at("mailLocalAddress"), (Values{"alice+x@example.net", "b@example.net", "z@example.net"}));
  EXPECT_EQ(has.at("authorizedService"),
            (Values{"dovecot", "imap", "pop3", "prov-pop3", "prov-smtp", "smtp"}));
  EXPECT_EQ(has.at("userPassword"), Values{"secret"});
  EXPECT_EQ(has.at("provLoginState"), Values{"allowed"});
  EXPECT_EQ(has.at("provRevision"), Values{"12"});
  EXPECT_EQ(has.at("provQuota"), Values{"5"});
  EXPECT_EQ(has.at("loginShell"), Values{"/usr/sbin/nologin"});
  EXPECT_FALSE(has.contains("mailRoutingAddress"));
}

TEST(Mapping, HomeIsWhereHostsPutIt) {
  // From prov::maildir::MailboxPath; it may never change.
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.uid = "a";
  EXPECT_EQ(AttributesOf(subscriber).at("homeDirectory"), Values{"/srv/prov/homes/19/a2/a"});
  EXPECT_EQ(AttributesOf(subscriber).at("provMailboxPath"), Values{"19/a2/a"});
}

TEST(Mapping, SuspendedHasNoPasswordAndNoServiceButStillGetsMail) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.state = model::State::kSuspended;
  const ldap::Attributes has = AttributesOf(subscriber);
  EXPECT_FALSE(has.contains("userPassword"));
  EXPECT_FALSE(has.contains("authorizedService"));
  EXPECT_EQ(has.at("provLoginState"), Values{"suspended"});
  EXPECT_EQ(has.at("provState"), Values{"suspended"});
  EXPECT_TRUE(has.contains("mailLocalAddress"));
}

TEST(Mapping, SuspendedMailFollowsTheDomain) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.state = model::State::kSuspended;
  subscriber.suspended_mail = model::SuspendedMail::kReject;
  EXPECT_FALSE(AttributesOf(subscriber).contains("mailLocalAddress"));
  subscriber.suspended_mail = model::SuspendedMail::kDefer;
  EXPECT_TRUE(AttributesOf(subscriber).contains("mailLocalAddress"));
  EXPECT_EQ(AttributesOf(subscriber).at("provReceive"), Values{"defer"});
  subscriber.suspended_mail = model::SuspendedMail::kKeep;
  EXPECT_FALSE(AttributesOf(subscriber).contains("provReceive"));
}

TEST(Mapping, ClosedAndPurgedHaveNoEntry) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.state = model::State::kClosed;
  EXPECT_FALSE(SubscriberEntry(subscriber, kOptions).has_value());
  subscriber.state = model::State::kPurged;
  EXPECT_FALSE(SubscriberEntry(subscriber, kOptions).has_value());
}

TEST(Mapping, ServicesFollowEntitlements) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.entitlements = {.mail = false, .ftp = true, .web = true};
  ldap::Attributes has = AttributesOf(subscriber);
  EXPECT_EQ(has.at("authorizedService"), (Values{"ftp", "prov-ftp", "prov-web", "vsftpd"}));
  EXPECT_FALSE(has.contains("mailLocalAddress"));
  EXPECT_TRUE(has.contains("userPassword"));
  subscriber.entitlements = {.mail = false, .ftp = false, .web = false};
  has = AttributesOf(subscriber);
  EXPECT_FALSE(has.contains("userPassword"));
  EXPECT_EQ(has.at("provLoginState"), Values{"no-entitlement"});
}

TEST(Mapping, NoPasswordIsSaid) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.password_hash.clear();
  const ldap::Attributes has = AttributesOf(subscriber);
  EXPECT_FALSE(has.contains("userPassword"));
  EXPECT_TRUE(has.contains("authorizedService"));
  EXPECT_EQ(has.at("provLoginState"), Values{"no-password"});
}

TEST(Mapping, ForwardUsesTheStandardAttributeOnlyWhereItIsTrue) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.forward.targets = {"x@example.org"};
  EXPECT_EQ(AttributesOf(subscriber).at("mailRoutingAddress"), Values{"x@example.org"});
  EXPECT_EQ(AttributesOf(subscriber).at("provForwardKeepsCopy"), Values{"FALSE"});
  subscriber.forward.keep_copy = true;
  EXPECT_FALSE(AttributesOf(subscriber).contains("mailRoutingAddress"));
  EXPECT_EQ(AttributesOf(subscriber).at("provForwardKeepsCopy"), Values{"TRUE"});
  subscriber.forward = {.targets = {"x@example.org", "c@example.org"}, .keep_copy = false};
  EXPECT_FALSE(AttributesOf(subscriber).contains("mailRoutingAddress"));
  EXPECT_EQ(AttributesOf(subscriber).at("provForward"), (Values{"c@example.org", "x@example.org"}));
}

TEST(Mapping, NamelessSubscriberIsNamedByLogin) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  for (const char* name : {"", "  "}) {
    subscriber.display_name = name;
    EXPECT_EQ(AttributesOf(subscriber).at("cn"), Values{"a@example.net"});
    EXPECT_EQ(AttributesOf(subscriber).at("sn"), Values{"a@example.net"});
  }
}

TEST(Mapping, DomainSaysWhatItStandsFor) {
  model::Domain domain;
  domain.name = "example.net";
  domain.revision = 3;
  ldap::Entry entry = DomainEntry(domain, kOptions);
  EXPECT_EQ(entry.dn, "dc=example.net,ou=domains,o=prov");
  EXPECT_EQ(entry.attributes.at("associatedDomain"), Values{"example.net"});
  EXPECT_FALSE(entry.attributes.contains("provAliasOf"));
  domain.alias_of = "example.org";
  domain.catch_all = "all@example.net";
  entry = DomainEntry(domain, kOptions);
  EXPECT_EQ(entry.attributes.at("provAliasOf"), Values{"example.org"});
  EXPECT_EQ(entry.attributes.at("provCatchAll"), Values{"all@example.net"});
}

TEST(Mapping, ListSaysWhereItsMailGoesAndNotWhoIsOnIt) {
  model::MailingList list;
  list.address = "staff@example.net";
  list.owners = {"alice@example.net"};
  list.pool = "lists";
  list.member_count = 100'000;
  list.revision = 3;
  const ldap::Entry entry = MailingListEntry(list, kOptions);
  EXPECT_EQ(entry.dn, "mailLocalAddress=staff@example.net,ou=lists,o=prov");
  EXPECT_EQ(entry.attributes.at("mailLocalAddress"), Values{"staff@example.net"});
  EXPECT_EQ(entry.attributes.at("mailHost"), Values{"lists"});
  for (const auto& [name, values] : entry.attributes) {
    EXPECT_NE(std::find(MailingListAttributes().begin(), MailingListAttributes().end(), name),
              MailingListAttributes().end())
        << name;
    EXPECT_LE(values.size(), 3u) << name;
  }
}

TEST(Mapping, EveryAttributeIsAmongThoseCompared) {
  model::Subscriber subscriber = TestSubscriber(7, "a@example.net");
  subscriber.forward.targets = {"x@example.org"};
  for (const auto& [name, values] : AttributesOf(subscriber)) {
    EXPECT_NE(std::find(SubscriberAttributes().begin(), SubscriberAttributes().end(), name),
              SubscriberAttributes().end())
        << name;
  }
  model::Domain domain;
  domain.name = domain.alias_of = domain.catch_all = "x";
  for (const auto& [name, values] : DomainEntry(domain, kOptions).attributes) {
    EXPECT_NE(std::find(DomainAttributes().begin(), DomainAttributes().end(), name), DomainAttributes().end())
        << name;
  }
}

}  // namespace
}  // namespace prov::directory
