#include "agents/drivers/accounts.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <nss.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "agents/drivers/nss_cache.h"
#include "agents/drivers/passwd_lines.h"
#include "agents/state/test_records.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

namespace fs = std::filesystem;
using state::AccountRecord;
using state::BatchOf;
using state::MailboxRecord;
using state::TestDirectory;

constexpr size_t kMostOctets = 64 << 20;

// The real module of Debian's libnss-cache, told to look elsewhere than in /etc.
class NssModule {
 public:
  static std::unique_ptr<NssModule> Load(const std::string& etc) {
    void* library = dlopen("libnss_cache.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return nullptr;
    auto module = std::unique_ptr<NssModule>(new NssModule(library));
    module->Call<char*(const char*)>("_nss_cache_setpwent_path")((etc + "/passwd.cache").c_str());
    module->Call<char*(const char*)>("_nss_cache_setgrent_path")((etc + "/group.cache").c_str());
    return module;
  }
  ~NssModule() { dlclose(library_); }

  // "login:uid:gid:gecos:home:shell", or what the module answered.
  std::string ByName(const std::string& name) {
    passwd entry = {};
    int error = 0;
    using Lookup = nss_status(const char*, passwd*, char*, size_t, int*);
    return Show(Call<Lookup>("_nss_cache_getpwnam_r")(name.c_str(), &entry, buffer_, sizeof buffer_, &error),
                entry);
  }
  std::string ByUid(uid_t uid) {
    passwd entry = {};
    int error = 0;
    using Lookup = nss_status(uid_t, passwd*, char*, size_t, int*);
    return Show(Call<Lookup>("_nss_cache_getpwuid_r")(uid, &entry, buffer_, sizeof buffer_, &error), entry);
  }
  std::string GroupByGid(gid_t gid) {
    group entry = {};
    int error = 0;
    using Lookup = nss_status(gid_t, group*, char*, size_t, int*);
    const nss_status status =
        Call<Lookup>("_nss_cache_getgrgid_r")(gid, &entry, buffer_, sizeof buffer_, &error);
    return status == NSS_STATUS_SUCCESS ? entry.gr_name : fmt::format("status {}", static_cast<int>(status));
  }
  std::string GroupByName(const std::string& name) {
    group entry = {};
    int error = 0;
    using Lookup = nss_status(const char*, group*, char*, size_t, int*);
    const nss_status status =
        Call<Lookup>("_nss_cache_getgrnam_r")(name.c_str(), &entry, buffer_, sizeof buffer_, &error);
    return status == NSS_STATUS_SUCCESS ? fmt::format("{}", entry.gr_gid)
                                        : fmt::format("status {}", static_cast<int>(status));
  }

 private:
  explicit NssModule(void* library) : library_(library) {}
  template <typename Function>
  Function* Call(const char* name) {
    return reinterpret_cast<Function*>(dlsym(library_, name));
  }
  static std::string Show(nss_status status, const passwd& entry) {
    if (status != NSS_STATUS_SUCCESS) return fmt::format("status {}", static_cast<int>(status));
    return fmt::format("{}:{}:{}:{}:{}:{}", entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_gecos,
                       entry.pw_dir, entry.pw_shell);
  }
  void* library_;
  char buffer_[2 << 20];  // look-ups by gid want 1 MiB
};

constexpr std::array kFiles = {"passwd.cache", "passwd.cache.ixname", "passwd.cache.ixuid",
                               "group.cache",  "group.cache.ixname",  "group.cache.ixgid"};

const std::string kNotFound = fmt::format("status {}", static_cast<int>(NSS_STATUS_NOTFOUND));

constexpr std::chrono::milliseconds kWriteInterval(500);

// Where everything takes a while.
class SlowHost final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return SystemClock().Now(); }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::time_point(++calls_ * std::chrono::milliseconds(100));
  }

 private:
  mutable std::atomic<int> calls_{0};
};

class Accounts : public testing::Test {
 protected:
  void SetUp() override {
    state_ = state::StateWriter::Open(state_directory_.path()).value();
    Store(v1::WEB, BatchOf(1, {}));
  }

  std::unique_ptr<Driver> MakeDriver(const Clock& clock = SystemClock()) {
    return MakeDriverFor(root_.path(), clock);
  }
  std::unique_ptr<Driver> MakeDriverFor(const std::string& root, const Clock& clock) {
    return MakeAccountDriver({.root = root,
                              .home_prefix = "/srv/homes",
                              .least_uid = 10000,
                              .roles = {v1::FTP, v1::WEB},
                              .write_interval = kWriteInterval},
                             *state_, clock);
  }

  void Store(v1::Role role, const v1::Batch& batch) { ASSERT_TRUE(state_->ApplyBatch(role, batch).ok()); }

  // The six files as an agent makes them that has never written any.
  std::vector<std::string> FilesMadeFromTheState() {
    const TestDirectory root;
    std::vector<Work> none;
    EXPECT_TRUE(MakeDriverFor(root.path(), SystemClock())->Flush(none).ok());
    return FilesBelow(root.path());
  }
  static std::vector<std::string> FilesBelow(const std::string& root) {
    std::vector<std::string> contents;
    for (const char* name : kFiles) contents.push_back(ReadFile(root + "/etc/" + name, kMostOctets).value());
    return contents;
  }

  // What the agent does with all that is pending for a role.
  static std::vector<Work> WorksFor(state::StateWriter& state, v1::Role role) {
    std::vector<Work> works;
    const auto pending = state.Pending(role, std::chrono::system_clock::now(), 100000);
    for (const auto& item : pending.value()) works.push_back({item, {}});
    return works;
  }
  std::vector<Work> Apply(Driver& driver, v1::Role role) {
    std::vector<Work> works = WorksFor(*state_, role);
    for (Work& work : works) work.status = driver.Apply(work.item);
    const absl::Status status = driver.Flush(works);
    EXPECT_TRUE(status.ok()) << status;
    Settle(role, works);
    return works;
  }
  void Settle(v1::Role role, const std::vector<Work>& works) {
    std::vector<state::Outcome> outcomes;
    for (const Work& work : works) {
      outcomes.push_back({work.item.key, work.item.ticket, work.status, std::chrono::system_clock::now()});
    }
    EXPECT_TRUE(state_->Settle(role, outcomes).ok());
  }

  std::string Etc() const { return root_.path() + "/etc"; }
  std::string Passwd() const { return ReadFile(Etc() + "/passwd.cache", kMostOctets).value(); }

  ptrdiff_t LinesOfPasswd() const {
    const std::string passwd = Passwd();
    return std::count(passwd.begin(), passwd.end(), '\n');
  }

  TestDirectory root_, state_directory_;
  std::unique_ptr<state::StateWriter> state_;
};

// Where maildirs belong to their subscribers. A mailbox's login may be what a passwd line may not begin with.
TEST_F(Accounts, OwnersOfMailboxesHaveAccountsAndOddLoginsNone) {
  const auto driver = MakeAccountDriver(
      {.root = root_.path(), .home_prefix = "/srv/homes", .least_uid = 10000, .roles = {v1::STORE}}, *state_,
      SystemClock());
  v1::Record plain = MailboxRecord(1, 1), odd = MailboxRecord(2, 1), low = MailboxRecord(3, 1);
  plain.mutable_mailbox()->set_uid_number(20001);
  odd.mutable_mailbox()->set_uid_number(20002);
  odd.mutable_mailbox()->set_login("+odd@example.net");
  low.mutable_mailbox()->set_uid_number(0);
  Store(v1::STORE, BatchOf(1, {plain, odd, low}));
  for (const Work& work : Apply(*driver, v1::STORE)) {
    EXPECT_EQ(work.status.ok(), work.item.key == plain.key()) << work.item.key << work.status;
  }
  EXPECT_EQ(LinesOfPasswd(), 1);
  EXPECT_EQ(Passwd().substr(0, 32), "user1@example.net:*:20001:20001:");
}

TEST_F(Accounts, TheRealModuleFindsEveryAccountThroughTheIndexesAndNoOther) {
  std::vector<v1::Record> records;
  for (int id = 1; id <= 2000; ++id) records.push_back(AccountRecord(id, 1, 20000 + id));
  records[9].mutable_account()->set_display_name("Dr. X: the \"10th\", Zürich");
  Store(v1::FTP, BatchOf(1, records));
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  const auto module = NssModule::Load(Etc());
  if (module == nullptr) GTEST_SKIP() << "libnss-cache is not installed";
  for (const int id : {1, 2, 10, 999, 1000, 1001, 1999, 2000}) {
    const std::string login = fmt::format("user{}@example.net", id);
    const std::string gecos = id == 10 ? "Dr. X  the \"10th\", Zürich" : fmt::format("User {}", id);
    const std::string entry = module->ByName(login);
    EXPECT_TRUE(
        entry.starts_with(fmt::format("{}:{}:{}:{}:/srv/homes/", login, 20000 + id, 20000 + id, gecos)))
        << entry;
    EXPECT_TRUE(entry.ends_with(fmt::format("/home-{}:/usr/sbin/nologin", id))) << entry;
    EXPECT_EQ(module->ByUid(20000 + id), entry);
    EXPECT_EQ(module->GroupByGid(20000 + id), login);
    EXPECT_EQ(module->GroupByName(login), fmt::format("{}", 20000 + id));
  }
  EXPECT_EQ(module->ByName("user2001@example.net"), kNotFound);
  EXPECT_EQ(module->ByName("user1"), kNotFound);
  EXPECT_EQ(module->ByUid(0), kNotFound);
  EXPECT_EQ(module->GroupByGid(22001), kNotFound);
}

TEST_F(Accounts, WhatAPersonDidToTheFilesIsToldByNameAndWrittenOver) {
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  EXPECT_TRUE(driver->InspectWhole()->empty());
  const std::string before = Passwd();
  std::string edited = "mal\x1b\xfflory:x:0:0::/root:/bin/sh\n" + before.substr(before.find('\n') + 1);
  edited.replace(edited.find("nologin"), 7, "zsh");
  std::ofstream(Etc() + "/passwd.cache") << edited;
  fs::remove(Etc() + "/group.cache.ixgid");
  const auto differences = driver->InspectWhole().value();
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].file, Etc() + "/passwd.cache");
  EXPECT_EQ(
      differences[0].text,
      "lines: 1 added (mal\\x1b\\xfflory); 1 taken away (user1@example.net); 1 changed (user2@example.net)");
  EXPECT_EQ(differences[1].file, Etc() + "/group.cache.ixgid");
  EXPECT_EQ(differences[1].text, "is missing");
  driver->Redo();
  Apply(*driver, v1::FTP);
  EXPECT_EQ(Passwd(), before);
  EXPECT_TRUE(driver->InspectWhole()->empty());
}

// It is on its way, and nobody changed anything.
TEST_F(Accounts, AccountsThatAreNotWrittenYetAreNoDrift) {
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001)}));
  const auto driver = MakeDriver();
  EXPECT_TRUE(driver->InspectWhole()->empty());
  Apply(*driver, v1::FTP);
  Store(v1::FTP, BatchOf(2, {AccountRecord(2, 2, 20002)}));
  EXPECT_TRUE(driver->InspectWhole()->empty());
}

// The module falls back to reading the whole file when an index is stale: that must not be how the above
// passes.
TEST_F(Accounts, IndexesAreUsedAndNeverOlderThanTheirFile) {
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  for (const char* name :
       {"/passwd.cache.ixname", "/passwd.cache.ixuid", "/group.cache.ixname", "/group.cache.ixgid"}) {
    const std::string index = Etc() + name;
    EXPECT_GE(fs::last_write_time(index), fs::last_write_time(index.substr(0, index.rfind('.'))));
    const std::string content = ReadFile(index, kMostOctets).value();
    const size_t width = content.find('\n') + 1;
    ASSERT_EQ(content.size(), 2 * width);
    for (size_t at = width - 1; at < content.size(); at += width) EXPECT_EQ(content[at], '\n');
  }
  const auto module = NssModule::Load(Etc());
  if (module == nullptr) GTEST_SKIP() << "libnss-cache is not installed";
  // An index that knows nothing hides what is in the file: so it is read.
  std::string index = ReadFile(Etc() + "/passwd.cache.ixname", kMostOctets).value();
  std::fill(index.begin(), index.begin() + 4, 'z');
  std::ofstream(Etc() + "/passwd.cache.ixname") << index;
  EXPECT_EQ(module->ByName("user1@example.net"), kNotFound);
}

TEST_F(Accounts, TimesGrowWithEveryWriteSoThatAnOldIndexIsKnownAsOld) {
  const auto driver = MakeDriver();
  auto last = fs::file_time_type::min() + std::chrono::hours(24);
  for (int number = 1; number <= 4; ++number) {
    Store(v1::FTP, BatchOf(number, {AccountRecord(number, number, 20000 + number)}));
    Apply(*driver, v1::FTP);
    const auto written = fs::last_write_time(Etc() + "/passwd.cache");
    EXPECT_GT(written, last);
    EXPECT_EQ(written.time_since_epoch() % std::chrono::seconds(1), std::chrono::seconds(0));
    last = fs::last_write_time(Etc() + "/group.cache.ixgid");
  }
}

TEST_F(Accounts, OneSubscriberOfTwoRolesIsOneAccountAndRemovedOnesGo) {
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001)}));
  Store(v1::WEB, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  EXPECT_EQ(LinesOfPasswd(), 2);
  Store(v1::WEB, BatchOf(2, {}, {"subscribers/1", "subscribers/2"}));
  Apply(*driver, v1::WEB);
  EXPECT_EQ(LinesOfPasswd(), 1);
  EXPECT_TRUE(Passwd().starts_with("user1@example.net:*:20001:20001:"));
}

TEST_F(Accounts, LowUidsAndSharedOnesAreRefusedByThemselves) {
  v1::Record same_uid = AccountRecord(3, 1, 20001);
  v1::Record same_login = AccountRecord(4, 1, 20004);
  same_login.mutable_account()->set_login("user1@example.net");
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 999), same_uid, same_login,
                             AccountRecord(5, 1, 20005)}));
  const auto driver = MakeDriver();
  std::set<std::string> refused;
  for (const Work& work : Apply(*driver, v1::FTP)) {
    if (!work.status.ok()) refused.insert(work.item.key);
  }
  EXPECT_EQ(refused, (std::set<std::string>{"subscribers/2", "subscribers/3", "subscribers/4"}));
  EXPECT_EQ(LinesOfPasswd(), 2);
}

TEST_F(Accounts, ManyChangesAreOneWriteAndNoChangeIsNone) {
  const SlowHost slow;
  auto driver = MakeDriver(slow);
  std::vector<Work> none;
  ASSERT_TRUE(driver->Flush(none).ok());
  const auto begin = std::chrono::steady_clock::now();
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001)}));
  Apply(*driver, v1::FTP);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kWriteInterval / 4);  // it waited for its turn
  const ino_t written = [&] {
    struct stat info = {};
    stat((Etc() + "/passwd.cache").c_str(), &info);
    return info.st_ino;
  }();
  // A restart finds the files as they should be and leaves them alone.
  driver = MakeDriver();
  ASSERT_TRUE(driver->Flush(none).ok());
  struct stat info = {};
  stat((Etc() + "/passwd.cache").c_str(), &info);
  EXPECT_EQ(info.st_ino, written);
  // And mends them when they are not (I1).
  fs::remove(Etc() + "/passwd.cache.ixuid");
  std::ofstream(Etc() + "/group.cache") << "nonsense";
  driver = MakeDriver();
  ASSERT_TRUE(driver->Flush(none).ok());
  EXPECT_TRUE(fs::exists(Etc() + "/passwd.cache.ixuid"));
  EXPECT_EQ(ReadFile(Etc() + "/group.cache", kMostOctets).value(), "user1@example.net:*:20001:\n");
}

// Adds, changes and removes at random what two roles see, a few at a time.
class RandomChanges {
 public:
  static constexpr int kSubscribers = 60;

  v1::Batch Next(uint64_t revision) {
    v1::Batch batch = BatchOf(revision, {});
    for (int i = 0; i < 4; ++i) {
      const int id = 1 + static_cast<int>(random_() % kSubscribers);
      if (random_() % 3 == 0) {
        batch.add_removed_keys(fmt::format("subscribers/{}", id));
      } else {
        *batch.add_records() = RecordOf(id, revision);
      }
    }
    return batch;
  }

  // Of 5 to 9 digits, so that the text's order is not the number's.
  static uint32_t UidOf(int id) {
    return 10000 + static_cast<uint32_t>(id) * static_cast<uint32_t>(id) * 199999;
  }

 private:
  v1::Record RecordOf(int id, uint64_t revision) {
    v1::Record record = AccountRecord(id, revision, UidOf(id));
    v1::Account* account = record.mutable_account();
    if (random_() % 2 == 0)
      account->set_login(fmt::format("{}{}@x.example", std::string(random_() % 40, 'z'), id));
    if (random_() % 2 == 0) account->set_display_name(std::string(random_() % 50, 'N'));
    return record;
  }
  std::minstd_rand random_{20261129};
};

TEST_F(Accounts, ChangesPutInTheirPlacesGiveWhatWritingAllWouldGive) {
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  RandomChanges changes;
  for (uint64_t revision = 1; revision <= 60; ++revision) {
    const v1::Batch batch = changes.Next(revision);
    const v1::Role role = revision % 3 == 0 ? v1::WEB : v1::FTP;
    ASSERT_TRUE(state_->ApplyBatch(role, batch, {.records = 100}).ok());
    Apply(*driver, role);
    ASSERT_EQ(FilesBelow(root_.path()), FilesMadeFromTheState()) << "after revision " << revision;
    EXPECT_TRUE(driver->InspectWhole()->empty());
  }
  const auto module = NssModule::Load(Etc());
  if (module == nullptr) GTEST_SKIP() << "libnss-cache is not installed";
  int found = 0;
  for (int id = 1; id <= RandomChanges::kSubscribers; ++id) {
    const uint32_t uid = RandomChanges::UidOf(id);
    const std::string group = module->GroupByGid(uid);
    if (group == kNotFound) {
      EXPECT_EQ(module->ByUid(uid), kNotFound);
      continue;
    }
    ++found;
    EXPECT_EQ(module->ByName(group), module->ByUid(uid));
    EXPECT_EQ(module->GroupByName(group), fmt::format("{}", uid));
  }
  EXPECT_EQ(found, LinesOfPasswd());
  EXPECT_GT(found, 10);
}

// A large host does not read a million records for one.
TEST_F(Accounts, AWriteAddsWhatWasAppliedAndReadsNothingElse) {
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  std::vector<Work> works = WorksFor(*state_, v1::FTP);
  works.resize(1);
  ASSERT_TRUE(driver->Apply(works[0].item).ok());
  ASSERT_TRUE(driver->Flush(works).ok());
  EXPECT_EQ(LinesOfPasswd(), 1);
  Apply(*driver, v1::FTP);
  EXPECT_EQ(LinesOfPasswd(), 2);
}

TEST_F(Accounts, WhoTakesAnothersUidOrLoginLaterIsRefusedAndTheOtherStays) {
  const auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  Apply(*driver, v1::FTP);
  const std::string before = Passwd();
  v1::Record same_login = AccountRecord(4, 2, 20004);
  same_login.mutable_account()->set_login("user1@example.net");
  Store(v1::FTP, BatchOf(2, {AccountRecord(3, 2, 20002), same_login}));
  std::map<std::string, std::string> refused;
  for (const Work& work : Apply(*driver, v1::FTP))
    refused[work.item.key] = std::string(MessageOf(work.status));
  EXPECT_EQ(refused,
            (std::map<std::string, std::string>{{"subscribers/3", "subscribers/2 has this uid already"},
                                                {"subscribers/4", "subscribers/1 has this login already"}}));
  EXPECT_EQ(Passwd(), before);
  // Those who go make room.
  Store(v1::FTP, BatchOf(3, {}, {"subscribers/1", "subscribers/2"}));
  Apply(*driver, v1::FTP);
  EXPECT_TRUE(Passwd().starts_with("user1@example.net:*:20004:20004:"));
  EXPECT_EQ(LinesOfPasswd(), 2);
}

TEST_F(Accounts, TwoWhoSwapLoginsAreWrittenTogether) {
  const auto driver = MakeDriver();
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  Apply(*driver, v1::FTP);
  v1::Record first = AccountRecord(1, 2, 20001), second = AccountRecord(2, 2, 20002);
  first.mutable_account()->mutable_login()->swap(*second.mutable_account()->mutable_login());
  Store(v1::FTP, BatchOf(2, {first, second}));
  Apply(*driver, v1::FTP);
  EXPECT_TRUE(Passwd().starts_with("user1@example.net:*:20002:20002:"));
  EXPECT_EQ(FilesBelow(root_.path()), FilesMadeFromTheState());
}

// What somebody put into a file must not be carried on by the next change.
TEST_F(Accounts, AnEditBetweenTwoChangesDoesNotSurviveTheSecond) {
  const auto driver = MakeDriver();
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001)}));
  Apply(*driver, v1::FTP);
  std::ofstream(Etc() + "/passwd.cache", std::ios::app) << "zoe@example.net:*:0:0::/root:/usr/sbin/nologin\n";
  Store(v1::FTP, BatchOf(2, {AccountRecord(2, 2, 20002)}));
  Apply(*driver, v1::FTP);
  EXPECT_EQ(FilesBelow(root_.path()), FilesMadeFromTheState());
}

// I5: a copy that had to be thrown away takes nobody's name with it, with provd away too.
TEST_F(Accounts, WhoHasAnAccountKeepsItUntilACopyThatIsMadeAnewIsWhole) {
  Store(v1::FTP, BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002)}));
  Apply(*MakeDriver(), v1::FTP);
  const std::string before = Passwd();
  const TestDirectory another;
  state_ = state::StateWriter::Open(another.path()).value();
  auto driver = MakeDriver();
  Apply(*driver, v1::FTP);
  EXPECT_EQ(Passwd(), before);
  // The snapshot comes, one part after the other: 1 has another name, 2 is gone, 3 is new.
  ASSERT_TRUE(state_->BeginSnapshot(v1::FTP).ok());
  v1::Record renamed = AccountRecord(1, 5, 20001);
  renamed.mutable_account()->set_display_name("Somebody");
  ASSERT_TRUE(state_->ApplySnapshotBatch(v1::FTP, BatchOf(0, {renamed, AccountRecord(3, 5, 20003)})).ok());
  Apply(*driver, v1::FTP);
  EXPECT_NE(Passwd().find("user1@example.net:*:20001:20001:Somebody:"), std::string::npos) << Passwd();
  EXPECT_EQ(LinesOfPasswd(), 3);
  ASSERT_TRUE(state_->EndSnapshot(v1::FTP, 5).ok());
  Apply(*driver, v1::FTP);
  EXPECT_EQ(LinesOfPasswd(), 3);  // the other role's has yet to come
  Store(v1::WEB, BatchOf(5, {}));
  Apply(*driver, v1::WEB);
  EXPECT_EQ(LinesOfPasswd(), 2);
  EXPECT_EQ(Passwd().find("user2@"), std::string::npos);
}

TEST_F(Accounts, NamesAndUidsOfTheHostsOwnAccountsAreRefused) {
  fs::create_directories(Etc());
  std::ofstream(Etc() + "/passwd") << "root:x:0:0::/root:/bin/sh\nuser2@example.net:x:999:999::/:/bin/sh\n"
                                      "bob:x:20003:20003::/home/bob:/bin/sh\n";
  Store(v1::FTP,
        BatchOf(1, {AccountRecord(1, 1, 20001), AccountRecord(2, 1, 20002), AccountRecord(3, 1, 20003)}));
  const auto driver = MakeDriver();
  const std::vector<Work> works = Apply(*driver, v1::FTP);
  ASSERT_EQ(works.size(), 3u);
  EXPECT_TRUE(works[0].status.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(works[1].status)) << works[1].status;
  EXPECT_NE(works[2].status.ToString().find("uid 20003 for bob"), std::string::npos) << works[2].status;
  EXPECT_EQ(LinesOfPasswd(), 1);
}

TEST(NssCache, NoAccountsAreEmptyFiles) {
  const TestDirectory root;
  EXPECT_FALSE(IsNssCacheSo(root.path(), {}).value());
  ASSERT_TRUE(WriteNssCache(root.path(), {}).ok());
  EXPECT_TRUE(IsNssCacheSo(root.path(), {}).value());
  const auto module = NssModule::Load(root.path() + "/etc");
  if (module == nullptr) GTEST_SKIP() << "libnss-cache is not installed";
  EXPECT_EQ(module->ByName("user1@example.net"), kNotFound);
}

// Each may be as large as the account base: an agent that is killed again and again must not fill /etc.
TEST(NssCache, WhatAKilledWriterLeftIsGoneAfterTheNextWrite) {
  const TestDirectory root;
  PasswdLines lines;
  for (uint32_t i = 0; i < 5000; ++i) lines.Add({fmt::format("u{}@x.net", i), 20000 + i, "", "/h"});
  lines.Sort();
  for (int i = 0; i < 3; ++i) {
    const pid_t writer = fork();
    if (writer == 0) {
      const rlimit few = {.rlim_cur = 20000, .rlim_max = 20000};
      setrlimit(RLIMIT_FSIZE, &few);  // the kernel ends it in the middle of writing
      WriteNssCache(root.path(), lines.get()).IgnoreError();
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(writer, &status, 0), writer);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
  }
  ASSERT_TRUE(WriteNssCache(root.path(), lines.get()).ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(root.path() + "/etc"), fs::directory_iterator()), 6);
}

}  // namespace
}  // namespace prov::drivers
