// With scripts in place of apachectl; tests/e2e/apache_test.py has the real one.
#include "agents/drivers/apache_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agents/drivers/apache_sites.h"
#include "agents/state/test_records.h"
#include "common/clock.h"
#include "common/file.h"

namespace prov::drivers {
namespace {

namespace fs = std::filesystem;
using state::TestDirectory;
using std::chrono::milliseconds;
using testing::HasSubstr;

class HandClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return SystemClock().Now(); }
  std::chrono::steady_clock::time_point Monotonic() const override { return now; }
  std::chrono::steady_clock::time_point now = SystemClock().Monotonic();
};

class ApacheConfiguration : public testing::Test {
 protected:
  void SetUp() override {
    // The check sees what is tried, and what is live at that moment.
    Script("check",
           "cat sites.conf.new > tried 2>/dev/null; cat sites.conf > live_then 2>/dev/null\n"
           "echo checked >> log; if [ -e refuse ]; then echo 'Syntax error on line 7' >&2; exit 1; fi");
    Script("reload", "echo reloaded >> log; test ! -e no_reload");
  }

  void Script(const std::string& name, const std::string& body) const {
    std::ofstream(At(name)) << "#!/bin/sh\ncd '" << directory_.path() << "'\n" << body << "\n";
    fs::permissions(At(name), fs::perms::owner_all);
  }
  std::string At(const std::string& name) const { return directory_.path() + "/" + name; }
  std::string Read(const std::string& name) const { return ReadFile(At(name), 1 << 20).value_or(""); }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(At(name)) << content;
  }

  // As after a start of the agent.
  ApacheFile Make(const std::string& content) const {
    return ApacheFile({.path = At("sites.conf"),
                       .check_command = {At("check")},
                       .reload_command = {At("reload")},
                       .least_between_reloads = milliseconds(5000)},
                      content, clock_);
  }

  TestDirectory directory_;
  HandClock clock_;
};

TEST_F(ApacheConfiguration, IsTriedBeforeItTakesTheOldOnesPlaceAndThenReloaded) {
  Write("sites.conf", "old");
  ApacheFile file = Make("new");
  file.Bring();
  EXPECT_EQ(Read("tried"), "new");
  EXPECT_EQ(Read("live_then"), "old");
  EXPECT_EQ(Read("sites.conf"), "new");
  EXPECT_EQ(Read("log"), "checked\nreloaded\n");
  EXPECT_FALSE(fs::exists(At("sites.conf.new")));
  EXPECT_FALSE(file.unfinished());
}

TEST_F(ApacheConfiguration, RestartOfTheAgentWritesNothingAndReloadsNothing) {
  Make("new").Bring();
  const auto written = fs::last_write_time(At("sites.conf"));
  fs::remove(At("log"));
  ApacheFile again = Make("new");
  again.Bring();
  again.Bring();
  EXPECT_EQ(fs::last_write_time(At("sites.conf")), written);
  EXPECT_FALSE(fs::exists(At("log")));
}

TEST_F(ApacheConfiguration, WhatApacheRefusesLeavesTheLastGoodOneAndIsToldUntilItIsTaken) {
  Write("sites.conf", "old");
  Write("refuse", "");
  ApacheFile file = Make("new");
  file.Bring();
  EXPECT_EQ(Read("sites.conf"), "old");
  EXPECT_EQ(Read("log"), "checked\n");
  ASSERT_TRUE(file.unfinished());
  EXPECT_THAT(file.unfinished()->error, HasSubstr("Syntax error on line 7"));
  file.Bring();
  EXPECT_EQ(Read("log"), "checked\n") << "it was not time";
  clock_.now = file.unfinished()->retry_at;
  file.Bring();
  EXPECT_EQ(Read("log"), "checked\nchecked\n");
  EXPECT_GT(file.unfinished()->retry_at - clock_.now, milliseconds(5000)) << "ever more seldom";
  fs::remove(At("refuse"));
  clock_.now = file.unfinished()->retry_at;
  file.Bring();
  EXPECT_FALSE(file.unfinished());
  EXPECT_EQ(Read("sites.conf"), "new");
}

TEST_F(ApacheConfiguration, ReloadThatWasCutOffIsDoneByTheNextAgent) {
  Write("no_reload", "");
  {
    ApacheFile file = Make("new");
    file.Bring();
    EXPECT_EQ(Read("sites.conf"), "new");
    ASSERT_TRUE(file.unfinished());
    EXPECT_THAT(file.unfinished()->error, HasSubstr("did not reload"));
  }
  fs::remove(At("no_reload"));
  fs::remove(At("log"));
  ApacheFile next = Make("new");
  next.Bring();
  EXPECT_EQ(Read("log"), "checked\nreloaded\n");
  EXPECT_FALSE(fs::exists(At("sites.conf.new")));
}

TEST_F(ApacheConfiguration, TwoReloadsAreNeverCloserThanTheyMayBe) {
  ApacheFile file = Make("new");
  file.Bring();
  Write("sites.conf", "edited");
  file.Redo();
  clock_.now += milliseconds(4999);
  file.Bring();
  EXPECT_EQ(Read("sites.conf"), "edited");
  ASSERT_TRUE(file.unfinished());
  EXPECT_EQ(file.unfinished()->error, "") << "it only waits";
  clock_.now += milliseconds(1);
  file.Bring();
  EXPECT_EQ(Read("sites.conf"), "new");
  EXPECT_FALSE(file.unfinished());
}

TEST_F(ApacheConfiguration, InspectionTellsWhatWasEditedAndWhatTheNextRestartWouldNotSurvive) {
  ApacheFile file = Make("new");
  file.Bring();
  EXPECT_TRUE(file.Inspect().value().empty());
  Write("sites.conf", "edited");
  Write("refuse", "");
  const std::vector<Difference> found = file.Inspect().value();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].text, "is not as prov-agent wrote it");
  EXPECT_THAT(found[1].text, HasSubstr("Syntax error on line 7"));
  EXPECT_EQ(Read("sites.conf"), "edited") << "it was only looked at";
  fs::remove(At("sites.conf"));
  EXPECT_EQ(file.Inspect().value()[0].text, "is missing");
}

TEST_F(ApacheConfiguration, WhatSomebodyElseBrokeIsToldUntilItIsMended) {
  ApacheFile file = Make("new");
  file.Bring();
  Write("refuse", "");
  file.Redo();  // as an inspection does that found it
  clock_.now += milliseconds(5000);
  file.Bring();
  ASSERT_TRUE(file.unfinished());
  EXPECT_EQ(Read("sites.conf"), "new");
  fs::remove(At("refuse"));
  clock_.now = file.unfinished()->retry_at;
  file.Bring();
  EXPECT_FALSE(file.unfinished());
  EXPECT_EQ(Read("log"), "checked\nreloaded\nchecked\nchecked\n") << "nothing of ours changed: no reload";
}

TEST_F(ApacheConfiguration, ProgramThatIsNotThereIsTold) {
  fs::remove(At("check"));
  ApacheFile file = Make("new");
  file.Bring();
  ASSERT_TRUE(file.unfinished());
  EXPECT_THAT(file.unfinished()->error, HasSubstr("check"));
  EXPECT_FALSE(fs::exists(At("sites.conf")));
}

TEST(ApacheSites, RulesNameThePlacesAndTheNotice) {
  const std::string plain = RenderApacheSites({.sites_root = "/srv/prov/sites", .suspended_page = ""});
  EXPECT_THAT(plain, HasSubstr("RewriteCond \"/srv/prov/sites/suspended/%1\" -l\n"));
  EXPECT_THAT(plain, HasSubstr("\"${prov-lower:%{HTTP_HOST}}\" \"^([a-z0-9-]+(?:\\.[a-z0-9-]+)+)"));
  EXPECT_THAT(plain, HasSubstr("ErrorDocument 503 \"<!DOCTYPE html>"));
  const std::string page =
      RenderApacheSites({.sites_root = "/srv/prov/sites", .suspended_page = "/etc/prov/suspended.html"});
  EXPECT_THAT(page, HasSubstr("\"/etc/prov/suspended.html\" [L]\n"));
  EXPECT_THAT(page, HasSubstr("<Directory \"/etc/prov\">\n  <Files \"suspended.html\">"));
}

}  // namespace
}  // namespace prov::drivers
