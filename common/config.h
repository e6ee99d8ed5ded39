// Program configuration from a TOML file, read once at start, with errors that name file, line and key.
//
//   ConfigReader reader = …Load(path)…;
//   options.listen = reader.String("listen", "127.0.0.1:7443");
//   options.url = reader.RequiredString("postgres.url");
//   PROV_RETURN_IF_ERROR(reader.Finish());   // every error at once, and keys nobody asked for
//
// Keys are dotted paths. Not thread-safe; use it while starting.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov {

class ConfigReader {
 public:
  // Files up to 1 MiB.
  static absl::StatusOr<ConfigReader> Load(const std::string& path);
  // `name` stands for the path in messages.
  static absl::StatusOr<ConfigReader> Parse(std::string_view toml, std::string name);

  ConfigReader(ConfigReader&&) noexcept;
  ConfigReader& operator=(ConfigReader&&) noexcept;
  ~ConfigReader();

  // Whether the key, or a table of that name, is there.
  bool Has(std::string_view key);

  std::string String(std::string_view key, std::string_view fallback);
  std::string RequiredString(std::string_view key);
  std::vector<std::string> Strings(std::string_view key, std::vector<std::string> fallback = {});
  bool Bool(std::string_view key, bool fallback);
  int64_t Int(std::string_view key, int64_t fallback, int64_t least, int64_t most);
  // A whole number with unit: "500ms", "30s", "5m", "4h", "5d"; from `least` to a century.
  std::chrono::milliseconds Duration(std::string_view key, std::chrono::milliseconds fallback,
                                     std::chrono::milliseconds least = std::chrono::milliseconds(0));
  // A table of such durations, each of at least `least`.
  std::map<std::string, std::chrono::milliseconds> DurationMap(std::string_view key,
                                                               std::chrono::milliseconds least);
  // A file or directory; a relative one is taken from the configuration file's directory.
  std::string Path(std::string_view key, std::string_view fallback);
  std::string RequiredPath(std::string_view key);
  std::vector<std::string> Paths(std::string_view key);
  // A table of strings.
  std::map<std::string, std::string> StringMap(std::string_view key);

  // INVALID_ARGUMENT listing what was wrong, or was there but never asked for.
  absl::Status Finish();

 private:
  struct State;
  explicit ConfigReader(std::unique_ptr<State> state);
  void Fail(std::string_view key, std::string_view message);
  std::string FromHere(const std::filesystem::path& path) const;

  std::unique_ptr<State> state_;
};

}  // namespace prov
