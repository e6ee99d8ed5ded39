#include "agents/sync/inspection.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/log.h"
#include "common/status.h"
#include "common/utf8.h"

namespace prov::sync {
namespace {

constexpr size_t kMostOctetsTold = 200;  // of a difference or an error

google::protobuf::Timestamp ToTimestamp(std::chrono::system_clock::time_point time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

// The contract takes nothing but UTF-8, and somebody's file names may be anything.
std::string Told(std::string_view text) {
  if (!IsValidUtf8(text)) return absl::CHexEscape(std::string(text.substr(0, kMostOctetsTold)));
  return std::string(FirstOctetsOfUtf8(text, kMostOctetsTold));
}

}  // namespace

Inspection::Inspection(v1::Role role, std::vector<drivers::Driver*> drivers, state::StateWriter& state,
                       const Clock& clock, InspectionOptions options)
    : role_(role), drivers_(std::move(drivers)), state_(state), clock_(clock), options_(options) {}

absl::Status Inspection::Begin(uint64_t number, Repair repair) {
  PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(role_));
  PROV_ASSIGN_OR_RETURN(const uint64_t records, state_.CountRecords(role_));
  revision_ = freshness.applied_revision;
  report_.Clear();
  report_.set_number(number);
  repair_ = repair;
  report_.set_repair(repair != Repair::kNone);
  report_.set_all_records(records);
  *report_.mutable_begin_time() = ToTimestamp(clock_.Now());
  last_key_.clear();
  found_.clear();
  found_files_.clear();
  running_ = true;
  return absl::OkStatus();
}

absl::Status Inspection::InspectSome() {
  if (last_key_.empty()) LookAtFiles();
  // Copied first: a slow disk must not keep a read transaction open, and with it old pages.
  std::vector<Look> looks;
  const absl::Status walked = state_.ForEachRecord(
      role_,
      [&](const v1::Record& record) {
        looks.push_back({.record = record, .driver = {}, .difference = {}, .status = {}});
        return looks.size() < options_.slice ? absl::OkStatus() : absl::CancelledError();
      },
      last_key_);
  const bool more = absl::IsCancelled(walked);
  if (!more) PROV_RETURN_IF_ERROR(walked);
  LookAtAll(looks);
  for (const Look& look : looks) {
    PROV_ASSIGN_OR_RETURN(const bool pending, IsPending(look));
    if (pending) continue;
    if (!look.difference.empty()) {
      NoteDrift(look.record.key(), look.driver, look.difference);
      if (report_.repair()) found_.push_back(look.record.key());
    } else if (!look.status.ok()) {
      NoteFailure(look.record.key(), look.status);
    }
  }
  report_.set_inspected_records(report_.inspected_records() + looks.size());
  if (repair_ == Repair::kFew && found_.size() > MostMended()) Hold();
  if (more) {
    last_key_ = looks.back().record.key();
    return absl::OkStatus();
  }
  running_ = false;
  *report_.mutable_end_time() = ToTimestamp(clock_.Now());
  return absl::OkStatus();
}

void Inspection::LookAtAll(std::vector<Look>& looks) const {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < looks.size(); i = next++) LookAt(looks[i]);
  };
  std::vector<std::jthread> others;
  const size_t wanted = std::min<size_t>(options_.threads, looks.size());
  for (size_t i = 1; i < wanted; ++i) others.emplace_back(run);
  run();
}

// What came in meanwhile is not there yet, and what fails is told as failing.
absl::StatusOr<bool> Inspection::IsPending(const Look& look) const {
  if (look.difference.empty() && look.status.ok()) return false;
  return state_.IsPending(role_, look.record.key());
}

void Inspection::LookAt(Look& look) const {
  for (drivers::Driver* driver : drivers_) {
    auto difference = driver->Inspect(look.record);
    look.driver = driver->name();
    if (difference.ok() && !difference->empty()) {
      look.difference = *std::move(difference);
      return;
    }
    look.status.Update(Annotate(difference.status(), driver->name()));
  }
}

void Inspection::LookAtFiles() {
  for (drivers::Driver* driver : drivers_) {
    const auto differences = driver->InspectWhole();
    if (!differences.ok()) {
      NoteFailure(driver->name(), differences.status());
      continue;
    }
    for (const drivers::Difference& difference : *differences) {
      NoteDrift(difference.file, driver->name(), difference.text);
    }
    if (!differences->empty()) found_files_.push_back(driver);
  }
}

void Inspection::NoteDrift(std::string_view key, std::string_view driver, std::string_view difference) {
  Log(Level::kWarning, "drift",
      {{"key", key}, {"driver", driver}, {"difference", difference}, {"repair", report_.repair()}});
  report_.set_drifting(report_.drifting() + 1);
  if (report_.drifts_size() == kMostDriftsTold) return;
  v1::Drift* drift = report_.add_drifts();
  drift->set_key(std::string(key));
  drift->set_driver(std::string(driver));
  drift->set_difference(Told(difference));
}

void Inspection::NoteFailure(std::string_view key, const absl::Status& status) {
  Log(report_.failed_records() == 0 ? Level::kWarning : Level::kDebug, "inspection_failed",
      {{"key", key}, {"error", status}});
  report_.set_failed_records(report_.failed_records() + 1);
  if (!report_.error().empty()) return;
  report_.set_error(Told(fmt::format("{}: {}", key, MessageOf(status))));
}

uint64_t Inspection::MostMended() const {
  return std::max(options_.most_records, report_.all_records() * options_.most_percent / 100);
}

void Inspection::Hold() {
  Log(Level::kError, "drift_held",
      {{"role", v1::Role_Name(role_)}, {"drifting", report_.drifting()}, {"most", MostMended()}});
  repair_ = Repair::kNone;
  report_.set_repair(false);
  report_.set_held(true);
  found_.clear();
  found_files_.clear();
}

absl::StatusOr<bool> Inspection::Mend() {
  // Whether it is few is known at the end.
  if (repair_ == Repair::kNone || (repair_ == Repair::kFew && running_)) return false;
  const std::vector<std::string> found = std::exchange(found_, {});
  const std::vector<drivers::Driver*> files = std::exchange(found_files_, {});
  if (!found.empty()) PROV_RETURN_IF_ERROR(state_.Requeue(role_, found));
  for (drivers::Driver* driver : files) driver->Redo();
  return !files.empty();
}

uint64_t Inspection::observed_revision() const {
  return !running_ && report_.drifting() == 0 && report_.failed_records() == 0 ? revision_ : 0;
}

}  // namespace prov::sync
