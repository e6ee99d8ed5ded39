// What a provd that somebody has taken over may send, and a host must not believe.
#include "agents/state/record_check.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "agents/state/test_records.h"

namespace prov::state {
namespace {

using Set = std::function<void(v1::Record& record, const std::string& text)>;

// Would be another place, another line, another word, or more than anybody reads.
const std::vector<std::string> kHostile = {"..",
                                           "../../etc/passwd",
                                           "/etc/passwd",
                                           "a/b",
                                           std::string("a\0b", 3),
                                           "a\nroot:x:0:0::/:/bin/sh",
                                           "a\rb",
                                           "a\tb",
                                           "a b",
                                           "a\x7f",
                                           "\xff\xfe",
                                           "\xc3\xa9t\xc3\xa9",
                                           "$(id)",
                                           "a:b",
                                           "UPPER",
                                           std::string(70'000, 'a')};
// Good as ids, which name directories of ours alone; as logins they would be the system's.
const std::vector<std::string> kSystemNames = {"root", "www-data", "nobody", "_apt"};

v1::Record DomainRecord() {
  v1::Record record;
  record.set_key("domains/example.net");
  record.mutable_domain()->set_domain("example.net");
  return record;
}

v1::Record PoolRecord() {
  v1::Record record;
  record.set_key("pools/main");
  record.mutable_pool()->set_pool("main");
  auto* member = record.mutable_pool()->add_members();
  member->set_host("store1");
  (*member->mutable_endpoints())["lmtp"] = "store1:24";
  return record;
}

v1::Record ListRecord() {
  v1::Record record;
  record.set_key("lists/staff@example.net");
  record.mutable_list()->set_address("staff@example.net");
  record.mutable_list()->add_owners("alice@example.net");
  return record;
}

v1::Record MoveRecord() {
  v1::Record record;
  record.set_key("moves/17");
  record.mutable_mailbox_transit()->set_mailbox_id("box-1");
  record.mutable_mailbox_transit()->set_from_pool("main");
  record.mutable_mailbox_transit()->set_to_pool("second");
  return record;
}

v1::Record LoginRouteRecord() {
  v1::Record record;
  record.set_key("subscribers/1");
  record.mutable_login_route()->set_login("user1@example.net");
  record.mutable_login_route()->set_pool("main");
  return record;
}

struct Field {
  const char* name;
  v1::Role role;
  v1::Record good;
  Set set;
};

void Expect(const Field& field, const std::string& text) {
  v1::Record record = field.good;
  field.set(record, text);
  const absl::Status status = CheckRecord(field.role, record);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << field.name << " = " << text.substr(0, 80);
}

// Become directories.
const std::vector<Field> kIds = {
    {"mailbox_id", v1::STORE, MailboxRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mailbox()->set_mailbox_id(text); }},
    {"home_id", v1::FTP, AccountRecord(1, 1, 20001),
     [](auto& r, auto& text) { r.mutable_account()->set_home_id(text); }},
    {"transit.mailbox_id", v1::STORE, MoveRecord(),
     [](auto& r, auto& text) { r.mutable_mailbox_transit()->set_mailbox_id(text); }},
    {"transit.from_pool", v1::STORE, MoveRecord(),
     [](auto& r, auto& text) { r.mutable_mailbox_transit()->set_from_pool(text); }},
    {"transit.to_pool", v1::STORE, MoveRecord(),
     [](auto& r, auto& text) { r.mutable_mailbox_transit()->set_to_pool(text); }},
    {"mail_route.pool", v1::RELAY, RouteRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mail_route()->set_pool(text); }},
    {"login_route.pool", v1::POP_PROXY, LoginRouteRecord(),
     [](auto& r, auto& text) { r.mutable_login_route()->set_pool(text); }},
};

// Become names of accounts, lines of files, and what others are compared with.
const std::vector<Field> kAddresses = {
    {"account.login", v1::FTP, AccountRecord(1, 1, 20001),
     [](auto& r, auto& text) { r.mutable_account()->set_login(text); }},
    {"mailbox.login", v1::STORE, MailboxRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mailbox()->set_login(text); }},
    {"mailbox.addresses", v1::STORE, MailboxRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mailbox()->add_addresses(text); }},
    {"mailbox.forward_targets", v1::STORE, MailboxRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mailbox()->add_forward_targets(text); }},
    {"mail_route.addresses", v1::RELAY, RouteRecord(1, 1),
     [](auto& r, auto& text) { r.mutable_mail_route()->add_addresses(text); }},
    {"login_route.login", v1::POP_PROXY, LoginRouteRecord(),
     [](auto& r, auto& text) { r.mutable_login_route()->set_login(text); }},
    {"list.address", v1::LIST, ListRecord(),
     [](auto& r, auto& text) { r.mutable_list()->set_address(text); }},
    {"list.owners", v1::LIST, ListRecord(), [](auto& r, auto& text) { r.mutable_list()->add_owners(text); }},
    {"domain.domain", v1::RELAY, DomainRecord(),
     [](auto& r, auto& text) { r.mutable_domain()->set_domain(text); }},
    {"pool.members.endpoints", v1::RELAY, PoolRecord(),
     [](auto& r, auto& text) {
       (*r.mutable_pool()->mutable_members(0)->mutable_endpoints())["lmtp"] = text;
     }},
    {"key", v1::STORE, MailboxRecord(1, 1), [](auto& r, auto& text) { r.set_key(text); }},
    {"key below its kind", v1::STORE, MailboxRecord(1, 1),
     [](auto& r, auto& text) { r.set_key("subscribers/" + text); }},
};

TEST(RecordCheck, WhatIsGoodIsTaken) {
  for (const auto* fields : {&kIds, &kAddresses}) {
    for (const Field& field : *fields) {
      EXPECT_TRUE(CheckRecord(field.role, field.good).ok())
          << field.name << ": " << CheckRecord(field.role, field.good);
    }
  }
}

TEST(RecordCheck, NothingHostileBecomesADirectory) {
  for (const Field& field : kIds) {
    Expect(field, "");
    for (const std::string& text : kHostile) Expect(field, text);
  }
}

TEST(RecordCheck, NothingHostileAndNoSystemNameBecomesAnAddressOrALogin) {
  for (const Field& field : kAddresses) {
    Expect(field, "");
    for (const std::string& text : kHostile) Expect(field, text);
    for (const std::string& text : kSystemNames) Expect(field, text);
  }
}

TEST(RecordCheck, LoginsThatReadersOfPasswdTakeForSomethingElseAreRefused) {
  for (const char* login : {"+@example.net", "-x@example.net", "#x@example.net", ".x@example.net",
                            "root:x@example.net", "a b@example.net", "../x@example.net"}) {
    v1::Record record = AccountRecord(1, 1, 20001);
    record.mutable_account()->set_login(login);
    EXPECT_FALSE(CheckRecord(v1::FTP, record).ok()) << login;
  }
}

TEST(RecordCheck, NoNameBreaksTheLineThatItIsPartOf) {
  for (const std::string& name : {std::string("a\nb"), std::string("a\0b", 3), std::string("a\x1b[2Jb"),
                                  std::string("a\x7f"), std::string(2000, 'a')}) {
    v1::Record record = AccountRecord(1, 1, 20001);
    record.mutable_account()->set_display_name(name);
    EXPECT_FALSE(CheckRecord(v1::FTP, record).ok());
  }
}

TEST(RecordCheck, NumbersThatNobodyHasAreRefused) {
  for (const uint32_t uid : {0U, 0x80000000U, 0xffffffffU, 0xfffffffeU}) {
    EXPECT_FALSE(CheckRecord(v1::FTP, AccountRecord(1, 1, uid)).ok()) << uid;
  }
  for (const int64_t quota : {int64_t{-1}, INT64_MIN}) {
    v1::Record record = MailboxRecord(1, 1);
    record.mutable_mailbox()->set_quota_bytes(quota);
    EXPECT_FALSE(CheckRecord(v1::STORE, record).ok()) << quota;
    record.mutable_mailbox()->set_quota_bytes(INT64_MAX);
    EXPECT_TRUE(CheckRecord(v1::STORE, record).ok());
  }
  v1::Record record = MailboxRecord(1, 1);
  record.mutable_mailbox()->set_uid_number(0xffffffff);
  EXPECT_FALSE(CheckRecord(v1::STORE, record).ok());
}

TEST(RecordCheck, AMillionAddressesAreTooMany) {
  v1::Record record = MailboxRecord(1, 1);
  for (int i = 0; i < 1'000'000; ++i) record.mutable_mailbox()->add_addresses("a@b.c");
  EXPECT_FALSE(CheckRecord(v1::STORE, record).ok());
}

TEST(RecordCheck, EndpointsAreAHostAndAPort) {
  for (const char* endpoint :
       {"store1", "store1:", "store1:0", "store1:65536", "store1:-1", ":24", "store1:24x", "store1:24:24x"}) {
    v1::Record record = PoolRecord();
    (*record.mutable_pool()->mutable_members(0)->mutable_endpoints())["lmtp"] = endpoint;
    EXPECT_FALSE(CheckRecord(v1::RELAY, record).ok()) << endpoint;
  }
  for (const char* endpoint : {"store1:24", "192.0.2.1:65535", "[2001:db8::1]:1"}) {
    v1::Record record = PoolRecord();
    (*record.mutable_pool()->mutable_members(0)->mutable_endpoints())["lmtp"] = endpoint;
    EXPECT_TRUE(CheckRecord(v1::RELAY, record).ok()) << endpoint;
  }
}

TEST(RecordCheck, NoRoleTakesWhatIsNotForIt) {
  EXPECT_FALSE(CheckRecord(v1::RELAY, AccountRecord(1, 1, 20001)).ok());
  EXPECT_FALSE(CheckRecord(v1::FTP, MailboxRecord(1, 1)).ok());
  EXPECT_FALSE(CheckRecord(v1::STORE, v1::Record()).ok());
}

// It becomes a word of a file in the home.
TEST(RecordCheck, APlanIsAPlainWordAndForFtpAlone) {
  v1::Record record = AccountRecord(1, 1, 20001);
  for (const char* plan : {"", "gold", "Gold-2.1_b"}) {
    record.mutable_account()->set_plan(plan);
    EXPECT_TRUE(CheckRecord(v1::FTP, record).ok()) << plan;
  }
  EXPECT_FALSE(CheckRecord(v1::WEB, record).ok());
  for (const char* plan : {"gold\noctets 9", "a b", "..\xc3\xa9"}) {
    record.mutable_account()->set_plan(plan);
    EXPECT_FALSE(CheckRecord(v1::FTP, record).ok()) << plan;
    v1::Record mailbox = MailboxRecord(1, 1);
    EXPECT_TRUE(CheckRecord(v1::STORE, mailbox).ok());
    mailbox.mutable_mailbox()->set_plan(plan);
    EXPECT_FALSE(CheckRecord(v1::STORE, mailbox).ok()) << plan;
  }
  record.mutable_account()->set_plan(std::string(65, 'a'));
  EXPECT_FALSE(CheckRecord(v1::FTP, record).ok());
}

}  // namespace
}  // namespace prov::state
