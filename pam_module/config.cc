#include "pam_module/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>

#include "common/ldap/connection.h"

namespace prov::pam {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxFileOctets = 64 * 1024;
constexpr size_t kMaxPasswordOctets = 1024;
constexpr size_t kMaxServers = 16;
constexpr milliseconds kLeastTimeout{100};
constexpr milliseconds kLongestTimeout{60'000};
constexpr milliseconds kLongestDeadFor{3'600'000};

std::string_view TextOf(const absl::Status& status) {
  return std::string_view(status.message().data(), status.message().size());
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t limit) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limit + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) return absl::NotFoundError(path + ": cannot be read");
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > limit)
    return absl::ResourceExhaustedError(fmt::format("{}: is larger than {} octets", path, limit));
  return text;
}

// "500ms", "3s", "5m".
std::optional<milliseconds> ParseDuration(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  constexpr int64_t kMost = 24 * 3600 * 1000;
  if (error != std::errc() || number < 0 || number > kMost) return std::nullopt;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit == "ms") return milliseconds(number);
  if (unit == "s") return milliseconds(number * 1000);
  if (unit == "m") return milliseconds(number * 60 * 1000);
  return std::nullopt;
}

// Reads keys, and remembers the first thing that is wrong.
class Reader {
 public:
  Reader(const toml::table& table, const std::string& path) : table_(table), path_(path) {}

  std::string Text(std::string_view key, bool required) {
    asked_.insert(std::string(key));
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      if (required) Fail(key, "is missing");
      return std::string();
    }
    const auto value = node->value_exact<std::string>();
    if (!value.has_value() || value->empty()) Fail(key, "is not a text");
    return value.value_or("");
  }

  // A relative one is taken from the configuration's directory.
  std::string File(std::string_view key, bool required) {
    const std::string file = Text(key, required);
    if (file.empty() || file.front() == '/') return file;
    return path_.substr(0, path_.rfind('/') + 1) + file;
  }

  bool Flag(std::string_view key) {
    asked_.insert(std::string(key));
    const toml::node* node = table_.get(key);
    if (node == nullptr) return false;
    const auto value = node->value_exact<bool>();
    if (!value.has_value()) Fail(key, "is neither true nor false");
    return value.value_or(false);
  }

  milliseconds Duration(std::string_view key, milliseconds fallback, milliseconds least, milliseconds most) {
    const std::string text = Text(key, false);
    if (text.empty()) return fallback;
    const auto duration = ParseDuration(text);
    if (duration.has_value() && *duration >= least && *duration <= most) return *duration;
    Fail(key, fmt::format("is not a time such as \"3s\" from {}ms to {}ms", least.count(), most.count()));
    return fallback;
  }

  std::vector<std::string> Servers(std::string_view key) {
    asked_.insert(std::string(key));
    std::vector<std::string> servers;
    if (const toml::node* node = table_.get(key); node != nullptr && node->is_array()) {
      for (const toml::node& one : *node->as_array()) {
        servers.push_back(one.value_exact<std::string>().value_or(""));
        if (servers.size() > kMaxServers) break;
      }
    }
    if (servers.empty() || servers.size() > kMaxServers)
      Fail(key, fmt::format("lists not one to {} servers", kMaxServers));
    return servers;
  }

  absl::Status Finish() {
    for (const auto& [key, value] : table_) {
      if (!asked_.contains(std::string(key.str()))) Fail(key.str(), "is not known");
    }
    return status_;
  }

  void Fail(std::string_view key, std::string_view what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(fmt::format("{}: {} {}", path_, key, what));
  }

 private:
  const toml::table& table_;
  const std::string& path_;
  std::set<std::string> asked_;
  absl::Status status_;
};

absl::StatusOr<toml::table> ParseToml(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxFileOctets);
  if (!text.ok()) return text.status();
  try {
    return toml::parse(*text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
}

}  // namespace

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  const absl::StatusOr<toml::table> table = ParseToml(path);
  if (!table.ok()) return table.status();
  Reader reader(*table, path);
  Config config;
  config.uris = reader.Servers("uri");
  config.base = reader.Text("base", true);
  config.bind_dn = reader.Text("bind_dn", true);
  const std::string password_file = reader.File("bind_password_file", true);
  config.ca = reader.File("ca", false);
  config.starttls = reader.Flag("starttls");
  config.timeout = reader.Duration("timeout", config.timeout, kLeastTimeout, kLongestTimeout);
  config.dead_for = reader.Duration("dead_for", config.dead_for, milliseconds(0), kLongestDeadFor);
  for (const std::string& uri : config.uris) {
    const bool starttls = config.starttls && uri.starts_with("ldap://");
    const absl::Status good = ldap::CheckConnectOptions({.uri = uri, .ca = config.ca, .starttls = starttls});
    if (!good.ok()) reader.Fail("uri", TextOf(good));
  }
  if (absl::Status status = reader.Finish(); !status.ok()) return status;
  absl::StatusOr<std::string> password = ReadSmallFile(password_file, kMaxPasswordOctets);
  if (!password.ok()) return password.status();
  config.bind_password = std::move(*password);
  config.bind_password.erase(std::min(config.bind_password.find('\n'), config.bind_password.size()));
  if (config.bind_password.empty()) return absl::InvalidArgumentError(password_file + ": is empty");
  return config;
}

}  // namespace prov::pam
