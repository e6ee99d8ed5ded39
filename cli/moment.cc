#include "cli/moment.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <chrono>
#include <map>

#include "common/status.h"

namespace prov::cli {
namespace {

using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

constexpr int64_t kMostAhead = 100'000'000;  // seconds, or whatever unit is named

}  // namespace

absl::StatusOr<Timestamp> ParseMoment(std::string_view field, const std::string& text) {
  const absl::Status wrong = InvalidField(field, fmt::format("is no time; write {}", kMomentHelp));
  Timestamp time;
  if (!text.starts_with('+')) {
    if (!TimeUtil::FromString(text, &time)) return wrong;
    return time;
  }
  static const std::map<char, int64_t> units = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  int64_t number = 0;
  const char* const last = text.data() + text.size() - 1;
  const auto [end, error] = std::from_chars(text.data() + 1, last, number);
  const auto unit = units.find(*last);
  if (error != std::errc() || end != last || unit == units.end() || number < 0 || number > kMostAhead) {
    return wrong;
  }
  const Timestamp now = TimeUtil::GetCurrentTime();
  if (number * unit->second > TimeUtil::kTimestampMaxSeconds - now.seconds()) return wrong;
  time = now;
  time.set_seconds(now.seconds() + number * unit->second);
  return time;
}

absl::StatusOr<Timestamp> ParsePast(std::string_view field, const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, static_cast<size_t>(text.data() + text.size() - end));
  constexpr int64_t kMostDays = 36'500;
  const int64_t seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86'400 : 0;
  if (error == std::errc() && seconds != 0 && number >= 0 && number <= kMostDays * 86'400 / seconds) {
    return TimeUtil::SecondsToTimestamp(
        std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) - number * seconds);
  }
  Timestamp time;
  const bool date = text.size() == 10;
  if (TimeUtil::FromString(date ? text + "T00:00:00Z" : text, &time)) return time;
  return InvalidField(field, fmt::format("\"{}\" is not a time; write 90m, 12h, 7d, 2026-11-01 or "
                                         "2026-11-01T08:00:00Z",
                                         text.substr(0, 40)));
}

std::string MomentText(Timestamp time) {
  time.set_nanos(0);
  return TimeUtil::ToString(time);
}

}  // namespace prov::cli
