#include "common/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "common/file.h"
#include "common/status.h"

namespace prov {

struct ConfigReader::State {
  std::string name;
  toml::table table;
  std::set<std::string> asked;
  std::vector<std::string> errors;

  toml::node_view<toml::node> At(std::string_view key) {
    asked.insert(std::string(key));
    return table.at_path(key);
  }
};

namespace {

constexpr size_t kMaxFileOctets = 1 << 20;
// Added to a time of today it stays within what 64 bits of nanoseconds can say.
constexpr std::chrono::milliseconds kLongestDuration = std::chrono::hours(24) * 36500;

// Collects keys of values (not of tables) that nobody asked for.
void CollectUnknown(const toml::table& table, const std::string& prefix, const std::set<std::string>& asked,
                    const std::string& name, std::vector<std::string>* errors) {
  for (const auto& [key, value] : table) {
    const std::string path =
        prefix.empty() ? std::string(key.str()) : fmt::format("{}.{}", prefix, key.str());
    if (asked.contains(path)) continue;
    if (const toml::table* inner = value.as_table()) {
      CollectUnknown(*inner, path, asked, name, errors);
    } else {
      errors->push_back(fmt::format("{}:{}: {} is not a setting; see the man page for those there are", name,
                                    value.source().begin.line, path));
    }
  }
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit(end, text.data() + text.size() - end);
  using std::chrono::milliseconds;
  if (unit == "ms") return milliseconds(number);
  if (unit == "s") return milliseconds(number * 1000);
  if (unit == "m") return milliseconds(number * 60'000);
  if (unit == "h") return milliseconds(number * 3'600'000);
  if (unit == "d") return milliseconds(number * 86'400'000);
  return std::nullopt;
}

}  // namespace

ConfigReader::ConfigReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;
ConfigReader& ConfigReader::operator=(ConfigReader&&) noexcept = default;
ConfigReader::~ConfigReader() = default;

absl::StatusOr<ConfigReader> ConfigReader::Load(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileOctets));
  return Parse(text, path);
}

absl::StatusOr<ConfigReader> ConfigReader::Parse(std::string_view toml, std::string name) {
  auto state = std::make_unique<State>();
  try {
    state->table = toml::parse(toml, name);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
  state->name = std::move(name);
  return ConfigReader(std::move(state));
}

void ConfigReader::Fail(std::string_view key, std::string_view message) {
  const auto node = state_->table.at_path(key);
  const auto line = node ? node.node()->source().begin.line : 0;
  state_->errors.push_back(
      fmt::format("{}{}: {} {}", state_->name, line ? fmt::format(":{}", line) : "", key, message));
}

bool ConfigReader::Has(std::string_view key) { return static_cast<bool>(state_->table.at_path(key)); }

std::string ConfigReader::String(std::string_view key, std::string_view fallback) {
  const auto node = state_->At(key);
  if (!node) return std::string(fallback);
  if (const auto value = node.value_exact<std::string>()) return *value;
  Fail(key, "must be a string");
  return std::string(fallback);
}

std::string ConfigReader::RequiredString(std::string_view key) {
  const std::string value = String(key, "");
  if (value.empty()) Fail(key, "is required");
  return value;
}

std::vector<std::string> ConfigReader::Strings(std::string_view key, std::vector<std::string> fallback) {
  const auto node = state_->At(key);
  if (!node) return fallback;
  const toml::array* array = node.as_array();
  if (array == nullptr) {
    Fail(key, "must be a list of strings");
    return fallback;
  }
  std::vector<std::string> values;
  for (const toml::node& item : *array) {
    const auto value = item.value_exact<std::string>();
    if (!value) {
      Fail(key, "must hold strings only");
      return fallback;
    }
    values.push_back(*value);
  }
  return values;
}

bool ConfigReader::Bool(std::string_view key, bool fallback) {
  const auto node = state_->At(key);
  if (!node) return fallback;
  if (const auto value = node.value_exact<bool>()) return *value;
  Fail(key, "must be true or false");
  return fallback;
}

int64_t ConfigReader::Int(std::string_view key, int64_t fallback, int64_t least, int64_t most) {
  const auto node = state_->At(key);
  if (!node) return fallback;
  const auto value = node.value_exact<int64_t>();
  if (value && *value >= least && *value <= most) return *value;
  Fail(key, fmt::format("must be a whole number from {} to {}", least, most));
  return fallback;
}

std::chrono::milliseconds ConfigReader::Duration(std::string_view key, std::chrono::milliseconds fallback,
                                                 std::chrono::milliseconds least) {
  const auto node = state_->At(key);
  if (!node) return fallback;
  const auto text = node.value_exact<std::string>();
  const auto value = text ? ParseDuration(*text) : std::nullopt;
  if (!value || *value > kLongestDuration) {
    Fail(key, "must be a string such as \"500ms\", \"30s\", \"5m\", \"4h\" or \"5d\", at most \"36500d\"");
    return fallback;
  }
  if (*value >= least) return *value;
  Fail(key, fmt::format("must be at least {}ms", least.count()));
  return fallback;
}

std::string ConfigReader::Path(std::string_view key, std::string_view fallback) {
  return FromHere(String(key, fallback));
}

std::vector<std::string> ConfigReader::Paths(std::string_view key) {
  std::vector<std::string> paths = Strings(key);
  for (std::string& path : paths) path = FromHere(path);
  return paths;
}

std::string ConfigReader::FromHere(const std::filesystem::path& path) const {
  if (path.empty() || path.is_absolute()) return path.string();
  return (std::filesystem::absolute(state_->name).parent_path() / path).lexically_normal().string();
}

std::string ConfigReader::RequiredPath(std::string_view key) {
  const std::string value = Path(key, "");
  if (value.empty()) Fail(key, "is required");
  return value;
}

std::map<std::string, std::string> ConfigReader::StringMap(std::string_view key) {
  std::map<std::string, std::string> values;
  const auto node = state_->At(key);
  if (!node) return values;
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    Fail(key, "must be a table of strings");
    return values;
  }
  for (const auto& [name, item] : *table) {
    if (const auto value = item.value_exact<std::string>()) {
      values.emplace(name.str(), *value);
    } else {
      Fail(key, fmt::format("must hold strings only; {} is none", name.str()));
    }
  }
  return values;
}

std::map<std::string, std::chrono::milliseconds> ConfigReader::DurationMap(std::string_view key,
                                                                           std::chrono::milliseconds least) {
  std::map<std::string, std::chrono::milliseconds> values;
  for (const auto& [name, text] : StringMap(key)) {
    const auto value = ParseDuration(text);
    if (value && *value >= least && *value <= kLongestDuration) {
      values.emplace(name, *value);
    } else {
      Fail(key,
           fmt::format("must hold durations such as \"15m\" or \"30d\", from {}ms to \"36500d\"; {} is none",
                       least.count(), name));
    }
  }
  return values;
}

absl::Status ConfigReader::Finish() {
  std::vector<std::string> errors = state_->errors;
  CollectUnknown(state_->table, "", state_->asked, state_->name, &errors);
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{}", fmt::join(errors, "\n")));
}

}  // namespace prov
