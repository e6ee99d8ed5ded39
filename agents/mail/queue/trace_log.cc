#include "agents/mail/queue/trace_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace prov::queue {
namespace {

constexpr mode_t kDirectoryMode = 0700, kFileMode = 0600;
constexpr std::string_view kSuffix = ".jsonl";
constexpr size_t kHourDigits = 10;
// As much is written without waiting for more.
constexpr size_t kPieceOctets = 256 << 10;

bool IsTraceFile(std::string_view name) {
  return name.size() == kHourDigits + kSuffix.size() && name.ends_with(kSuffix) &&
         name.find_first_not_of("0123456789") == kHourDigits;
}

uint64_t CountLines(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

std::string TraceFileName(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y%m%d%H}{}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)), kSuffix);
}

absl::StatusOr<std::vector<std::string>> TraceFiles(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (IsTraceFile(name)) names.push_back(std::move(name));
  }
  if (error) return ErrnoStatus(error.value(), directory);
  std::sort(names.begin(), names.end());
  return names;
}

TraceLog::TraceLog(std::string directory, std::chrono::milliseconds keep, const Clock& clock)
    : directory_(std::move(directory)), keep_(keep), clock_(clock) {}

absl::StatusOr<std::unique_ptr<TraceLog>> TraceLog::Start(const std::string& directory,
                                                          std::chrono::milliseconds keep,
                                                          const Clock& clock) {
  PROV_RETURN_IF_ERROR(EnsureDirectory(directory, kDirectoryMode));
  std::unique_ptr<TraceLog> log(new TraceLog(directory, keep, clock));
  log->thread_ = std::thread([raw = log.get()] { raw->Run(); });
  return log;
}

TraceLog::~TraceLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void TraceLog::Append(std::string_view line) {
  const std::lock_guard lock(mutex_);
  if (line.size() > kMaxTraceLineOctets || waiting_.size() + line.size() > kMostTraceOctets) {
    ++lost_;
    return;
  }
  waiting_ += line;
  waiting_ += '\n';
  ++appended_;
  if (waiting_.size() >= kPieceOctets) wake_.notify_all();
}

void TraceLog::Flush() {
  std::unique_lock lock(mutex_);
  const uint64_t wanted = appended_;
  while (done_ < wanted && !stopping_) {
    flushing_ = true;
    wake_.notify_all();
    written_.wait(lock);
  }
}

uint64_t TraceLog::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void TraceLog::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, kTraceDelay,
                   [this] { return stopping_ || flushing_ || waiting_.size() >= kPieceOctets; });
    const bool last = stopping_;
    flushing_ = false;
    const std::string lines = std::exchange(waiting_, {});
    if (!lines.empty()) {
      lock.unlock();
      Write(lines);
      lock.lock();
      done_ += CountLines(lines);
    }
    written_.notify_all();
    if (last) return;
  }
}

void TraceLog::Write(const std::string& lines) {
  const std::string name = TraceFileName(clock_.Now());
  if (name != name_) RemoveOld();
  const absl::Status status = WriteTo(name, lines);
  if (!status.ok()) {
    const std::lock_guard lock(mutex_);
    lost_ += CountLines(lines);
  }
  // Told once, not every second.
  if (status.ok() == failing_)
    Log(status.ok() ? Level::kInfo : Level::kError, status.ok() ? "trace_written_again" : "trace_not_written",
        {{"directory", directory_}, {"error", status}});
  failing_ = !status.ok();
}

absl::Status TraceLog::WriteTo(const std::string& name, const std::string& lines) {
  const std::string path = directory_ + "/" + name;
  if (name != name_ || !file_.valid()) {
    name_ = name;
    file_ =
        FileDescriptor(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode));
    if (!file_.valid()) return ErrnoStatus(errno, path);
  }
  struct stat about;
  if (fstat(file_.get(), &about) != 0) return ErrnoStatus(errno, path);
  // Removed by somebody: a file without a name keeps nothing.
  if (about.st_nlink == 0) {
    file_ = FileDescriptor();
    return absl::UnavailableError(path + " was removed");
  }
  const absl::Status status = WriteAll(file_.get(), lines);
  // Half a line would spoil the next one.
  if (!status.ok() && ftruncate(file_.get(), about.st_size) != 0) return ErrnoStatus(errno, path);
  return Annotate(status, path);
}

void TraceLog::RemoveOld() {
  // The last line of a file may be an hour younger than its name.
  const std::string oldest = TraceFileName(clock_.Now() - keep_ - std::chrono::hours(1));
  const auto names = TraceFiles(directory_);
  if (!names.ok()) return;  // the next write tells of it
  for (const std::string& name : *names) {
    if (name >= oldest) break;
    if (unlink((directory_ + "/" + name).c_str()) != 0 && errno != ENOENT)
      Log(Level::kWarning, "trace_not_removed", {{"file", name}, {"error", ErrnoStatus(errno, name)}});
  }
}

}  // namespace prov::queue
