// With the real useradd, usermod and userdel, below a root of the test's own.
#include "agents/drivers/shadow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agents/drivers/passwd_file.h"
#include "agents/state/test_records.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using state::AccountRecord;
using state::BatchOf;
using state::PendingItem;
using state::TestDirectory;
using testing::HasSubstr;

class Shadow : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root may call useradd";
    std::filesystem::create_directory(Etc());
    Write("passwd", "root:x:0:0:root:/root:/bin/bash\noperator:x:15000:15000::/home/operator:/bin/sh\n");
    Write("group", "root:x:0:\noperator:x:15000:\n");
    Write("shadow", "root:*:19000:0:99999:7:::\n");
    Write("gshadow", "root:*::\n");
    Write("login.defs", "USERGROUPS_ENAB yes\n");
    state_ = state::StateWriter::Open(state_directory_.path()).value();
    driver_ = MakeShadowDriver(
        {.root = root_.path(), .home_prefix = "/srv/homes", .least_uid = 10000, .roles = {v1::FTP, v1::WEB}},
        *state_);
  }

  std::string Etc() const { return root_.path() + "/etc"; }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(Etc() + "/" + name) << content;
  }
  std::string Read(const std::string& name) const { return ReadFile(Etc() + "/" + name, 1 << 20).value(); }

  absl::Status Make(const v1::Record& record) {
    return driver_->Apply({.key = record.key(), .record = record});
  }
  absl::Status Remove(const v1::Record& record) {
    return driver_->Apply({.key = record.key(), .previous = record});
  }
  v1::Record Alice() const {
    v1::Record record = AccountRecord(1, 1, 20001);
    record.mutable_account()->set_login("alice@example.net");
    record.mutable_account()->set_display_name("Alice: \"A\" $(x), Zürich");
    return record;
  }

  TestDirectory root_, state_directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<Driver> driver_;
};

TEST_F(Shadow, AccountIsMadeChangedAndRemoved) {
  const std::string before = Read("passwd"), groups = Read("group");
  v1::Record record = Alice();
  EXPECT_EQ(driver_->Inspect(record).value(), "is not in /etc/passwd");
  absl::Status status = Make(record);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(driver_->Inspect(record).value(), "");
  EXPECT_THAT(Read("passwd"),
              HasSubstr("alice@example.net:x:20001:20001:Alice  \"A\" $(x), Zürich:/srv/homes/"));
  EXPECT_THAT(Read("passwd"), HasSubstr("/home-1:/usr/sbin/nologin\n"));
  EXPECT_THAT(Read("shadow"), HasSubstr("alice@example.net:!:"));
  const std::string made = Read("passwd");
  ASSERT_TRUE(Make(record).ok());
  EXPECT_EQ(Read("passwd"), made);
  record.mutable_account()->set_display_name("Bob");
  EXPECT_NE(driver_->Inspect(record).value(), "");
  status = Make(record);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Read("passwd"), HasSubstr(":Bob:"));
  ASSERT_TRUE(Remove(record).ok());
  ASSERT_TRUE(Remove(record).ok());
  EXPECT_EQ(Read("passwd"), before);
  EXPECT_EQ(Read("group"), groups);
}

TEST_F(Shadow, WhatOthersMadeIsNeverTouched) {
  const std::string before = Read("passwd"), groups = Read("group");
  v1::Record record = Alice();
  for (const char* login : {"root", "operator"}) {
    record.mutable_account()->set_login(login);
    EXPECT_TRUE(absl::IsFailedPrecondition(Make(record))) << login;
    ASSERT_TRUE(Remove(record).ok());
  }
  record = Alice();
  for (const uint32_t uid : {0, 1, 9999}) {
    record.mutable_account()->set_uid_number(uid);
    EXPECT_TRUE(absl::IsInvalidArgument(Make(record))) << uid;
    ASSERT_TRUE(Remove(record).ok());
  }
  record.mutable_account()->set_uid_number(15000);
  EXPECT_THAT(Make(record).message(), HasSubstr("operator has uid 15000 already"));
  ASSERT_TRUE(Remove(record).ok());
  EXPECT_EQ(Read("passwd"), before);
  EXPECT_EQ(Read("group"), groups);
}

TEST_F(Shadow, NamesThatWouldMeanSomethingElseAreRefused) {
  const std::string before = Read("passwd");
  v1::Record record = Alice();
  for (const std::string login : {"", "--root=/", "-D", "+alice", "../x", "a:b", "a\nb:x:0:0::/:/bin/sh",
                                  "a b", "Alice", "z\xc3\xbcrich", "a/b"}) {
    record.mutable_account()->set_login(login);
    EXPECT_TRUE(absl::IsInvalidArgument(Make(record))) << login;
    ASSERT_TRUE(Remove(record).ok());
  }
  EXPECT_EQ(Read("passwd"), before);
}

// Killed between groupadd and useradd, or between userdel and groupdel.
TEST_F(Shadow, WhatWasCutOffGoesOn) {
  const std::string groups = Read("group");
  Write("group", groups + "alice@example.net:x:20001:\n");
  const absl::Status status = Make(Alice());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(Remove(Alice()).ok());
  Write("group", groups + "alice@example.net:x:20001:\n");
  ASSERT_TRUE(Remove(Alice()).ok());
  EXPECT_EQ(Read("group"), groups);
}

TEST_F(Shadow, AccountOfTwoRolesGoesWithTheLastOfThem) {
  const v1::Record record = Alice();
  ASSERT_TRUE(state_->ApplyBatch(v1::WEB, BatchOf(1, {record})).ok());
  ASSERT_TRUE(Make(record).ok());
  ASSERT_TRUE(Remove(record).ok());
  EXPECT_EQ(driver_->Inspect(record).value(), "");
  ASSERT_TRUE(state_->ApplyBatch(v1::WEB, BatchOf(2, {}, {record.key()})).ok());
  ASSERT_TRUE(Remove(record).ok());
  EXPECT_EQ(driver_->Inspect(record).value(), "is not in /etc/passwd");
}

TEST_F(Shadow, WhatTheProgramSaidIsToldAndItIsTriedAgain) {
  const std::string groups = Read("group");
  std::filesystem::remove(Etc() + "/group");
  std::filesystem::create_directory(Etc() + "/group");
  const absl::Status status = Make(Alice());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("groupadd: cannot open"));
  std::filesystem::remove(Etc() + "/group");
  Write("group", groups);
  EXPECT_TRUE(Make(Alice()).ok());
}

}  // namespace
}  // namespace prov::drivers
