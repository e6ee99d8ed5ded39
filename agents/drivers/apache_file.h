// A file that Apache's own configuration includes: written whole, tried before it takes the old one's place,
// and followed by a graceful reload.
//
// What is tried lies beside the file, as FILE.new, and stays there until Apache has taken it: whoever finds
// it knows that a reload is outstanding, however the one before was killed.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/drivers/driver.h"
#include "common/clock.h"

namespace prov::drivers {

struct ApacheFileOptions {
  std::string path;
  // Program and arguments; ends with 0 when Apache would take its configuration with FILE.new in place of the
  // file, and says on standard error what is wrong otherwise.
  std::vector<std::string> check_command;
  std::vector<std::string> reload_command;
  std::chrono::milliseconds least_between_reloads = std::chrono::seconds(5);
  std::chrono::milliseconds longest_retry = std::chrono::minutes(5);
  std::chrono::milliseconds patience = std::chrono::seconds(60);  // with one run of a command
};

// Not thread-safe.
class ApacheFile {
 public:
  // `clock` must outlive it.
  ApacheFile(ApacheFileOptions options, std::string content, const Clock& clock);

  // Makes the file so, if it is not or its reload is outstanding, and if it is time: two reloads are never
  // closer than they may be, and what Apache refuses is tried again ever more seldom. What is refused leaves
  // the file, and Apache, as they were.
  void Bring();
  // What Bring could not do yet, or could not do.
  const std::optional<Unfinished>& unfinished() const { return unfinished_; }
  // Has the next Bring try Apache's whole configuration, though the file may be as it should be.
  void Redo();

  // How the file differs, and whether Apache would still take its configuration. Changes nothing.
  absl::StatusOr<std::vector<Difference>> Inspect() const;

 private:
  absl::StatusOr<bool> IsSo() const;
  absl::StatusOr<bool> IsOutstanding() const;
  absl::StatusOr<bool> BringNow();
  absl::Status Check() const;
  absl::Status Reload();
  std::string CandidatePath() const { return options_.path + ".new"; }

  const ApacheFileOptions options_;
  const std::string content_;
  const Clock& clock_;
  bool settled_ = false;  // so since the last Bring, as far as we know
  bool try_all_ = false;
  std::chrono::steady_clock::time_point reload_from_;  // not before
  std::chrono::milliseconds pause_;
  std::optional<Unfinished> unfinished_;
};

}  // namespace prov::drivers
