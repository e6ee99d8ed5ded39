#include "server/directory/failing.h"

#include <algorithm>

#include "common/status.h"
#include "server/directory/entry_kind.h"

namespace prov::directory {
void FailingRecords::Follow(const Cursor& cursor) {
  for (auto it = records_.begin(); it != records_.end();) {
    it = cursor.failing.contains(it->first) ? std::next(it) : records_.erase(it);
  }
  for (const auto& [name, revision] : cursor.failing) {
    Record& record = records_[name];
    if (record.error.empty()) {
      record.error = "refused before this provd started";
      record.due = clock_.Monotonic();
    }
    record.revision = revision;
  }
}

void FailingRecords::Refused(const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    Record& record = records_[refusal.name];
    record.revision = refusal.revision;
    record.error = std::string(MessageOf(refusal.error));
    record.pause = std::min(std::max(record.pause * 2, options_.shortest),
                            std::max(options_.longest, options_.shortest));
    record.due = clock_.Monotonic() + record.pause;
  }
}

Touched FailingRecords::Due(size_t limit) const {
  const auto now = clock_.Monotonic();
  Touched due;
  for (const auto& [name, record] : records_) {
    if (record.due > now) continue;
    if (due.size() == limit) break;
    if (const auto item = ParseItemName(name)) due[*item] = record.revision;
  }
  return due;
}

std::chrono::steady_clock::time_point FailingRecords::NextDue() const {
  auto next = std::chrono::steady_clock::time_point::max();
  for (const auto& [name, record] : records_) next = std::min(next, record.due);
  return next;
}

std::vector<store::FailingItem> FailingRecords::Show() const {
  std::vector<store::FailingItem> shown;
  const auto now = clock_.Monotonic();
  for (const auto& [name, record] : records_) {
    if (shown.size() == kMostFailingShown) break;
    const auto left = std::chrono::ceil<std::chrono::seconds>(record.due - now);
    shown.push_back({name, record.revision, record.error, std::max(left, std::chrono::seconds(0))});
  }
  return shown;
}

}  // namespace prov::directory
