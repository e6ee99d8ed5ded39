// Records that the directory refused: with which error, and when to try again.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/clock.h"
#include "server/directory/batch.h"
#include "server/directory/cursor.h"
#include "server/directory/truth.h"
#include "server/store/host_progress.h"

namespace prov::directory {

constexpr size_t kMostFailingShown = 100;

struct RetryOptions {
  std::chrono::milliseconds shortest{2000};
  std::chrono::milliseconds longest{300'000};
};

// Which records fail is the cursor's to say; this remembers the rest. Not thread-safe.
class FailingRecords {
 public:
  FailingRecords(const Clock& clock, RetryOptions options) : clock_(clock), options_(options) {}

  // Takes over what the cursor says; new ones (from before a restart) are due at once.
  void Follow(const Cursor& cursor);
  void Refused(const std::vector<Refusal>& refusals);

  // At most `limit` whose time has come.
  Touched Due(size_t limit) const;
  // When the next one is due; max if none fails.
  std::chrono::steady_clock::time_point NextDue() const;

  size_t size() const { return records_.size(); }
  std::vector<store::FailingItem> Show() const;

 private:
  struct Record {
    uint64_t revision = 0;
    std::string error;
    std::chrono::milliseconds pause{0};
    std::chrono::steady_clock::time_point due;
  };
  const Clock& clock_;
  const RetryOptions options_;
  std::map<std::string, Record> records_;
};

}  // namespace prov::directory
