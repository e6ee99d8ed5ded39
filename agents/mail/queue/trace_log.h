// What became of mail, kept for a while: one JSON object a line, in files named for the hour in which they
// were written. docs/queue-format.md tells of the fields.
//
//   DIRECTORY/2026112922.jsonl         UTC
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/file.h"

namespace prov::queue {

// The oldest lines are written after so long: a crash of the process loses no more.
constexpr std::chrono::milliseconds kTraceDelay{1000};
// That wait to be written. What comes while there are more is not remembered: a disk that is full, or stands
// still, stops no mail.
constexpr size_t kMostTraceOctets = 8 << 20;
constexpr size_t kMaxTraceLineOctets = 64 << 10;

// Thread-safe. Append never waits for the disk; a thread of its own writes.
class TraceLog {
 public:
  // Makes the directory. Files older than `keep` are removed. `clock` must outlive it.
  static absl::StatusOr<std::unique_ptr<TraceLog>> Start(const std::string& directory,
                                                         std::chrono::milliseconds keep, const Clock& clock);
  // Writes what is left.
  ~TraceLog();

  // `line` has no line end, and is dropped when it is too long.
  void Append(std::string_view line);
  // Returns when all that was appended before is written, or could not be. Blocks.
  void Flush();

  const std::string& directory() const { return directory_; }
  // Lines that were not remembered.
  uint64_t lost() const;

 private:
  TraceLog(std::string directory, std::chrono::milliseconds keep, const Clock& clock);
  void Run();
  void Write(const std::string& lines);
  absl::Status WriteTo(const std::string& name, const std::string& lines);
  void RemoveOld();

  const std::string directory_;
  const std::chrono::milliseconds keep_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, written_;
  std::string waiting_;
  uint64_t appended_ = 0, done_ = 0, lost_ = 0;  // lines
  bool flushing_ = false, stopping_ = false;
  // Of the writing thread alone:
  std::string name_;
  FileDescriptor file_;
  bool failing_ = false;  // and told of
  std::thread thread_;
};

// Of an hour; "2026112922.jsonl".
std::string TraceFileName(std::chrono::system_clock::time_point time);
// Names of all such files, the oldest first.
absl::StatusOr<std::vector<std::string>> TraceFiles(const std::string& directory);

}  // namespace prov::queue
