#include "agents/engine_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "agents/config.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr mode_t kPipeMode = 0620;

}  // namespace

std::string EngineStatusLine(const SessionCounts& sessions) {
  std::string line;
  for (const auto& [role, count] : sessions)
    line += fmt::format("{}{}={}", line.empty() ? "" : " ", RoleName(role), count);
  return line + "\n";
}

absl::StatusOr<SessionCounts> ParseEngineStatusLine(std::string_view line) {
  SessionCounts sessions;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(line.data(), line.size()), ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto role = RoleOfName({pair.first.data(), pair.first.size()});
    uint64_t count = 0;
    if (!role || !absl::SimpleAtoi(pair.second, &count))
      return absl::InvalidArgumentError("not ROLE=SESSIONS");
    sessions[*role] = count;
  }
  return sessions;
}

absl::StatusOr<EngineStatusReader> EngineStatusReader::Open(const std::string& state_directory,
                                                            std::optional<gid_t> group) {
  const std::string path = state_directory + "/" + kEngineStatusName;
  if (mkfifo(path.c_str(), kPipeMode) != 0 && errno != EEXIST) return ErrnoStatus(errno, "make " + path);
  // For writing too: so it is never at its end, whoever comes and goes.
  FileDescriptor pipe(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  struct stat stat;
  if (!pipe.valid() || fstat(pipe.get(), &stat) != 0) return ErrnoStatus(errno, "open " + path);
  if (!S_ISFIFO(stat.st_mode)) return absl::FailedPreconditionError(path + " is no pipe: remove it");
  if (group && fchown(pipe.get(), static_cast<uid_t>(-1), *group) != 0)
    return ErrnoStatus(errno, "let the engine write to " + path);
  if (fchmod(pipe.get(), kPipeMode) != 0) return ErrnoStatus(errno, "let the engine write to " + path);
  return EngineStatusReader(std::move(pipe));
}

// An engine may be taken over by whoever it talks to: what it says is counted, never trusted.
void EngineStatusReader::Poll(std::chrono::steady_clock::time_point now) {
  char octets[4096];
  const ssize_t got = read(pipe_.get(), octets, sizeof octets);
  if (got > 0) text_.append(octets, static_cast<size_t>(got));
  const size_t end = text_.rfind('\n');
  if (end != std::string::npos) {
    const size_t before = end == 0 ? std::string::npos : text_.rfind('\n', end - 1);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    auto sessions = ParseEngineStatusLine(std::string_view(text_).substr(begin, end - begin));
    text_.erase(0, end + 1);
    if (sessions.ok()) {
      sessions_ = *std::move(sessions);
      heard_ = now;
    }
  }
  if (text_.size() > kMostStatusOctets) text_.clear();
  if (now - heard_ > kEngineSilent) sessions_.reset();
}

void EngineStatusWriter::Tell(const SessionCounts& sessions, std::chrono::steady_clock::time_point now) {
  const std::string line = EngineStatusLine(sessions);
  if (line == told_ && now - when_ < kEngineSpeaks) return;
  if (!pipe_.valid())
    pipe_ = FileDescriptor(open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!pipe_.valid()) return;  // no agent is there
  if (write(pipe_.get(), line.data(), line.size()) > 0) {
    told_ = line;
    when_ = now;
  } else if (errno != EAGAIN) {
    pipe_ = FileDescriptor();  // another agent makes another
  }
}

}  // namespace prov
