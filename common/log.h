// Structured log lines on standard error: `time level program event key=value …` (logfmt).
//
//   Log(Level::kInfo, "mail_queued", {{"trace", id}, {"octets", size}});
//
// An event's name is snake_case and stable: people grep for it. Values are quoted and control characters
// escaped, so that nothing from outside forges a line. Never pass a secret. Thread-safe.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace prov {

enum class Level { kDebug, kInfo, kWarning, kError };

struct LogField {
  LogField(std::string_view key, std::string_view value) : key(key), value(value) {}
  LogField(std::string_view key, const std::string& value) : key(key), value(value) {}
  LogField(std::string_view key, const char* value) : key(key), value(value) {}
  LogField(std::string_view key, const absl::Status& status) : key(key), value(status.ToString()) {}
  template <typename Number>
  requires std::integral<Number> || std::floating_point<Number> LogField(std::string_view key, Number value)
      : key(key), value(fmt::format("{}", value)) {}

  std::string_view key;
  std::string value;
};

// Names the program in each line; call once, before threads start. Level from "debug", "info", "warning",
// "error"; anything else is an INVALID_ARGUMENT.
absl::Status InitLog(std::string_view program, std::string_view level);

// May be called at any time (SIGHUP).
absl::Status SetLogLevel(std::string_view level);

void Log(Level level, std::string_view event, std::initializer_list<LogField> fields = {});

// What Log would write for a value: as it is if plain, else quoted and escaped. For tests.
std::string QuoteLogValue(std::string_view value);

}  // namespace prov
