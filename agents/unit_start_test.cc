#include "agents/unit_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "common/status.h"

namespace prov {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// systemctl, with what `show` will say.
class Unit {
 public:
  explicit Unit(std::deque<std::string> shows) : shows_(std::move(shows)) {}

  absl::Status Start() {
    return StartUnit(
        [this](const std::vector<std::string>& arguments) -> absl::StatusOr<std::string> {
          calls.push_back(arguments.front());
          if (arguments.front() != "show") return "";
          std::string shown = shows_.front();
          shows_.pop_front();
          return shown;
        },
        [this](const std::string& line) { told.push_back(line); }, [this] { ++pauses; });
  }

  std::vector<std::string> calls, told;
  int pauses = 0;

 private:
  std::deque<std::string> shows_;
};

TEST(UnitStart, EndsWhenSystemdCallsItActiveAndTellsHowFarItIs) {
  Unit unit({"ActiveState=inactive\nJob=17\nStatusText=\n",
             "ActiveState=activating\nJob=17\nStatusText=store: applied 1 of 9\n",
             "ActiveState=activating\nJob=17\nStatusText=store: applied 1 of 9\n",
             "ActiveState=active\nJob=0\nStatusText=ready\n"});
  EXPECT_TRUE(unit.Start().ok());
  EXPECT_THAT(unit.calls, ElementsAre("enable", "start", "show", "show", "show", "show"));
  EXPECT_THAT(unit.told, ElementsAre("store: applied 1 of 9", "ready"));
  EXPECT_EQ(unit.pauses, 3);
}

TEST(UnitStart, AUnitThatFailsEndsItWithWhereToLook) {
  for (const std::string end : {"ActiveState=failed\n", "ActiveState=inactive\nJob=\n"}) {
    Unit unit({"ActiveState=activating\n", end});
    EXPECT_THAT(std::string(MessageOf(unit.Start())), HasSubstr("journalctl -u prov-agent.service"));
  }
}

TEST(UnitStart, AMachineWithoutSystemctlIsSaidSo) {
  setenv("PATH", "/nonexistent", 1);
  EXPECT_THAT(std::string(MessageOf(RealSystemctl()({"show"}).status())), HasSubstr("run systemctl"));
}

}  // namespace
}  // namespace prov
