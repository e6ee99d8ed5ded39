#include "agents/drivers/apache_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/file.h"
#include "common/log.h"
#include "common/program.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using std::chrono::milliseconds;

constexpr mode_t kMode = 0644;
constexpr size_t kMaxOctets = 1 << 20;
constexpr size_t kMostErrorOctets = 250;

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Nothing when it is not there, or is larger than any of ours.
absl::StatusOr<std::optional<std::string>> Read(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kMaxOctets);
  if (content.ok()) return *std::move(content);
  if (absl::IsNotFound(content.status())) return std::nullopt;
  if (absl::IsResourceExhausted(content.status())) return std::string();
  return content.status();
}

// On one line, whatever it is.
std::string Told(const std::string& errors) {
  std::string text = errors.substr(0, kMostErrorOctets);
  for (char& c : text) c = c < ' ' || c > '~' ? ' ' : c;
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

ApacheFile::ApacheFile(ApacheFileOptions options, std::string content, const Clock& clock)
    : options_(std::move(options)),
      content_(std::move(content)),
      clock_(clock),
      pause_(options_.least_between_reloads) {}

void ApacheFile::Redo() {
  settled_ = false;
  try_all_ = true;
  if (unfinished_) unfinished_->retry_at = clock_.Monotonic();
}

void ApacheFile::Bring() {
  const auto now = clock_.Monotonic();
  if (settled_ || (unfinished_ && unfinished_->retry_at > now)) return;
  const absl::StatusOr<bool> brought = BringNow();
  const bool failed_before = unfinished_ && !unfinished_->error.empty();
  if (!brought.ok()) {
    Log(failed_before ? Level::kDebug : Level::kError, "apache_refused",
        {{"file", options_.path}, {"error", brought.status()}});
    unfinished_ =
        Unfinished{options_.path, std::string(MessageOf(brought.status())), clock_.Monotonic() + pause_};
    pause_ = std::min(2 * pause_, options_.longest_retry);
  } else if (!*brought) {
    unfinished_ = Unfinished{options_.path, "", reload_from_};
  } else {
    if (failed_before) Log(Level::kInfo, "apache_mended", {{"file", options_.path}});
    settled_ = true;
    try_all_ = false;
    pause_ = options_.least_between_reloads;
    unfinished_.reset();
  }
}

absl::StatusOr<bool> ApacheFile::IsSo() const {
  PROV_ASSIGN_OR_RETURN(const auto found, Read(options_.path));
  return found == content_;
}

absl::StatusOr<bool> ApacheFile::IsOutstanding() const {
  if (access(CandidatePath().c_str(), F_OK) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoStatus(errno, fmt::format("look for {}", CandidatePath()));
}

// False: it is too soon after the last reload.
absl::StatusOr<bool> ApacheFile::BringNow() {
  PROV_ASSIGN_OR_RETURN(const bool so, IsSo());
  PROV_ASSIGN_OR_RETURN(const bool outstanding, IsOutstanding());
  if (so && !outstanding) {
    if (try_all_) PROV_RETURN_IF_ERROR(Check());
    return true;
  }
  if (clock_.Monotonic() < reload_from_) return false;
  PROV_RETURN_IF_ERROR(ReplaceFile(CandidatePath(), content_, kMode));
  PROV_RETURN_IF_ERROR(Check());
  if (!so) PROV_RETURN_IF_ERROR(ReplaceFile(options_.path, content_, kMode));
  PROV_RETURN_IF_ERROR(Reload());
  if (unlink(CandidatePath().c_str()) != 0)
    return ErrnoStatus(errno, fmt::format("remove {}", CandidatePath()));
  PROV_RETURN_IF_ERROR(SyncDirectory(DirectoryOf(options_.path)));
  return true;
}

absl::Status ApacheFile::Check() const {
  PROV_ASSIGN_OR_RETURN(const ProgramEnd end, RunProgram(options_.check_command, options_.patience));
  if (end.status == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("Apache refuses the configuration: {}", Told(end.errors)));
}

absl::Status ApacheFile::Reload() {
  PROV_ASSIGN_OR_RETURN(const ProgramEnd end, RunProgram(options_.reload_command, options_.patience));
  reload_from_ = clock_.Monotonic() + options_.least_between_reloads;
  if (end.status != 0) {
    return absl::FailedPreconditionError(fmt::format("Apache did not reload: {}", Told(end.errors)));
  }
  Log(Level::kInfo, "apache_reloaded", {{"file", options_.path}});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Difference>> ApacheFile::Inspect() const {
  std::vector<Difference> differences;
  if (unfinished_) return differences;  // told as what fails
  PROV_ASSIGN_OR_RETURN(const auto found, Read(options_.path));
  if (!found) {
    differences.push_back({options_.path, "is missing"});
  } else if (*found != content_) {
    differences.push_back({options_.path, "is not as prov-agent wrote it"});
  }
  // The next restart, by whomever, would be the end of the server.
  if (const absl::Status status = Check(); absl::IsFailedPrecondition(status)) {
    differences.push_back({options_.path, std::string(MessageOf(status))});
  } else if (!status.ok()) {
    return status;
  }
  return differences;
}

}  // namespace prov::drivers
