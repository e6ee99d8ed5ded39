// What the trace says of some mail. Reads its files in pieces.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::queue {

constexpr size_t kMostTracedMessages = 1000;

struct TraceQuery {
  std::vector<std::string> traces;  // ids of messages, whenever they came
  std::string address;              // and those since then with this sender or recipient, folded; empty: none
  std::chrono::system_clock::time_point since;
  size_t most_messages = kMostTracedMessages;  // of the address: the newest ones
};

// First finds the messages, then tells all that is known of each, what happened before `since`, too, and of
// those that follow them: forwards. Not
// thread-safe, but may move between threads.
class TraceReader {
 public:
  // `directory` is a TraceLog's.
  TraceReader(std::string directory, TraceQuery query);
  ~TraceReader();

  // More lines of the trace, in the order in which they were written; perhaps none yet. Nothing: that was
  // all. Blocks, for some megabytes at most.
  absl::StatusOr<std::optional<std::vector<std::string>>> Next();

  // There were more messages than asked for, and the oldest were left out.
  bool cut() const { return cut_; }

 private:
  class File;
  enum class Pass { kBegin, kFind, kTell, kEnd };

  absl::Status BeginPass(Pass pass, std::chrono::system_clock::time_point from);
  absl::StatusOr<bool> OpenNext();
  void Find(const std::string& line);
  bool IsWanted(const std::string& line);
  void Remember(const std::string& trace);
  std::chrono::system_clock::time_point Earliest() const;

  const std::string directory_;
  const TraceQuery query_;
  Pass pass_ = Pass::kBegin;
  std::vector<std::string> names_;  // of the files still to be read, the next one last
  std::unique_ptr<File> file_;
  std::unordered_set<std::string> traces_;
  std::deque<std::string> found_;  // of them by address, the oldest first
  bool cut_ = false;
};

}  // namespace prov::queue
