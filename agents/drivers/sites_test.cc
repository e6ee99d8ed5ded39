#include "agents/drivers/sites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agents/mail/maildir/layout.h"
#include "agents/state/test_records.h"
#include "common/clock.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

namespace fs = std::filesystem;
using state::AccountRecord;
using state::BatchOf;
using state::TestDirectory;
using testing::HasSubstr;

class SiteDriver : public testing::Test {
 protected:
  void SetUp() override {
    state_ = state::StateWriter::Open(state_directory_.path()).value();
    driver_ = MakeSiteDriver({.root = root(), .home_root = "/srv/homes", .suspended_page = "", .apache = {}},
                             *state_, SystemClock());
  }

  std::string root() const { return directory_.path() + "/sites"; }

  static v1::Record Site(int id, uint64_t revision, const std::vector<std::string>& names) {
    v1::Record record = AccountRecord(id, revision, 20000 + id);
    for (const std::string& name : names) record.mutable_account()->add_web_names(name);
    return record;
  }
  static std::string HomeOf(int id) {
    return maildir::MailboxPath("/srv/homes", fmt::format("home-{}", id)).value();
  }

  void Take(uint64_t revision, const std::vector<v1::Record>& records,
            const std::vector<std::string>& removed = {}) {
    const absl::Status status = state_->ApplyBatch(v1::WEB, BatchOf(revision, records, removed));
    ASSERT_TRUE(status.ok()) << status;
  }
  // Runs the driver over what is pending, as the applier does; the statuses by key.
  std::map<std::string, absl::Status> Drive() {
    std::vector<Work> works;
    std::vector<state::PendingItem> items = state_->Pending(v1::WEB, SystemClock().Now(), 100).value();
    for (state::PendingItem& item : items) {
      works.push_back({std::move(item), absl::OkStatus()});
    }
    std::map<std::string, absl::Status> statuses;
    std::vector<state::Outcome> outcomes;
    for (Work& work : works) work.status = driver_->Apply(work.item);
    EXPECT_TRUE(driver_->Flush(works).ok());
    for (const Work& work : works) {
      statuses[work.item.key] = work.status;
      outcomes.push_back({work.item.key, work.item.ticket, work.status, SystemClock().Now()});
    }
    EXPECT_TRUE(state_->Settle(v1::WEB, outcomes).ok());
    return statuses;
  }
  // "served/NAME", "suspended/NAME" or nothing, with what is shown there.
  std::string Shown(const std::string& name) const {
    std::string shown;
    for (const char* place : {"served", "suspended"}) {
      const fs::path path = fs::path(root()) / place / name;
      if (fs::is_symlink(path)) shown += fmt::format("{} {}", place, fs::read_symlink(path).string());
    }
    return shown;
  }

  TestDirectory directory_, state_directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<Driver> driver_;
};

TEST_F(SiteDriver, NamesFollowTheSubscriber) {
  Take(1, {Site(1, 1, {"www.shop.example", "shop.example"})});
  Drive();
  EXPECT_EQ(Shown("user1@example.net"), "served " + HomeOf(1));
  EXPECT_EQ(Shown("www.shop.example"), "served " + HomeOf(1));
  v1::Record suspended = Site(1, 2, {"www.shop.example"});
  suspended.mutable_account()->set_use(v1::REJECT_PERMANENTLY);
  Take(2, {suspended});
  Drive();
  EXPECT_EQ(Shown("www.shop.example"), "suspended " + HomeOf(1));
  EXPECT_EQ(Shown("user1@example.net"), "suspended " + HomeOf(1));
  EXPECT_EQ(Shown("shop.example"), "");
  suspended.mutable_account()->set_closed(true);
  suspended.set_revision(3);
  Take(3, {suspended});
  Drive();
  EXPECT_EQ(Shown("www.shop.example"), "");
  EXPECT_EQ(Shown("user1@example.net"), "");
  Take(4, {Site(1, 4, {"www.shop.example"})});
  Drive();
  EXPECT_EQ(Shown("www.shop.example"), "served " + HomeOf(1));
  Take(5, {}, {"subscribers/1"});
  Drive();
  EXPECT_EQ(Shown("www.shop.example"), "");
  EXPECT_EQ(Shown("user1@example.net"), "");
}

TEST_F(SiteDriver, NameOfAVersionThatWasReplacedBeforeItsTurnIsRemoved) {
  Take(1, {Site(1, 1, {"a.example.org"})});
  Drive();
  Take(2, {Site(1, 2, {"b.example.org"})});
  Take(3, {Site(1, 3, {"c.example.org"})});
  Drive();
  EXPECT_EQ(Shown("a.example.org"), "");
  EXPECT_EQ(Shown("b.example.org"), "");
  EXPECT_EQ(Shown("c.example.org"), "served " + HomeOf(1));
}

TEST_F(SiteDriver, NameThatMovesIsTheNewOwners) {
  Take(1, {Site(1, 1, {"a.example.org"}), Site(2, 1, {"b.example.org"})});
  Drive();
  Take(3, {Site(1, 2, {"b.example.org"}), Site(2, 3, {"a.example.org"})});
  Drive();
  Drive();
  EXPECT_EQ(Shown("a.example.org"), "served " + HomeOf(2));
  EXPECT_EQ(Shown("b.example.org"), "served " + HomeOf(1));
}

TEST_F(SiteDriver, NameThatTwoClaimIsOnesAndTheOtherIsSetAside) {
  Take(1, {Site(1, 1, {"a.example.org"})});
  Drive();
  Take(2, {Site(2, 2, {"a.example.org"}), Site(3, 2, {"c.example.org"})});
  auto statuses = Drive();
  EXPECT_THAT(std::string(MessageOf(statuses["subscribers/2"])),
              HasSubstr("subscribers/1 has the name a.example.org"));
  EXPECT_EQ(Shown("a.example.org"), "served " + HomeOf(1));
  EXPECT_EQ(Shown("c.example.org"), "served " + HomeOf(3)) << "others go on";
  Take(3, {Site(1, 3, {})});
  Drive();
  statuses = Drive();
  EXPECT_EQ(Shown("a.example.org"), "served " + HomeOf(2));
}

TEST_F(SiteDriver, LinksThatAPersonMadeAreToldAndThenMended) {
  Take(1, {Site(1, 1, {"www.shop.example"})});
  Drive();
  EXPECT_EQ(driver_->Inspect(Site(1, 1, {"www.shop.example"})).value(), "");
  EXPECT_TRUE(driver_->InspectWhole().value().empty());
  fs::create_symlink("/etc", root() + "/served/evil.example.org");
  fs::remove(root() + "/served/www.shop.example");
  fs::create_symlink("/etc", root() + "/served/www.shop.example");
  EXPECT_THAT(driver_->Inspect(Site(1, 1, {"www.shop.example"})).value(), HasSubstr("shows /etc"));
  const std::vector<Difference> found = driver_->InspectWhole().value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].text, "1 names of nobody (evil.example.org)");
  EXPECT_EQ(Shown("evil.example.org"), "served /etc") << "it was only looked at";
  driver_->Redo();
  ASSERT_TRUE(state_->Requeue(v1::WEB, {"subscribers/1"}).ok());
  Drive();
  EXPECT_EQ(Shown("evil.example.org"), "");
  EXPECT_EQ(Shown("www.shop.example"), "served " + HomeOf(1));
}

TEST_F(SiteDriver, WithoutASnapshotNothingIsAStray) {
  fs::create_directories(root() + "/served");
  fs::create_symlink(HomeOf(1), root() + "/served/www.shop.example");
  EXPECT_TRUE(driver_->InspectWhole().value().empty());
  driver_->Redo();
  Drive();
  EXPECT_EQ(Shown("www.shop.example"), "served " + HomeOf(1));
}

}  // namespace
}  // namespace prov::drivers
