// What the tests of the sync room share: a clock that is set by hand, a driver that notes what it was given,
// and a session with its applier over a state of their own.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agents/state/reader.h"
#include "agents/state/test_records.h"
#include "agents/sync/applier.h"
#include "agents/sync/session.h"
#include "common/status.h"

namespace prov::sync {

class HandClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return now; }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return std::chrono::steady_clock::time_point(now.time_since_epoch());
  }
  std::chrono::system_clock::time_point now{std::chrono::hours(24 * 20000)};
};

// Does what it is told for each key, and notes what it was given.
class RecordingDriver final : public drivers::Driver {
 public:
  std::string_view name() const override { return "recording"; }
  absl::Status Apply(const state::PendingItem& item) override {
    const std::lock_guard lock(mutex_);
    applied.push_back(item.key);
    const auto failure = failures.find(item.key);
    return failure == failures.end() ? absl::OkStatus() : failure->second;
  }
  absl::Status Flush(std::vector<drivers::Work>&) override {
    ++flushed;
    return flush;
  }
  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    if (unreadable.contains(record.key())) return absl::UnavailableError("not mounted");
    return missing.contains(record.key()) ? "is missing" : "";
  }
  absl::StatusOr<std::vector<drivers::Difference>> InspectWhole() override { return whole; }
  void Redo() override { ++redone; }
  std::optional<drivers::Unfinished> GetUnfinished() override { return unfinished; }

  std::vector<std::string> applied;
  std::map<std::string, absl::Status> failures;
  std::set<std::string> missing, unreadable;
  std::vector<drivers::Difference> whole;
  std::optional<drivers::Unfinished> unfinished;
  int flushed = 0, redone = 0;
  absl::Status flush;

 private:
  std::mutex mutex_;
};

inline v1::SyncResponse Message(v1::Batch batch, uint64_t nonce) {
  v1::SyncResponse message;
  *message.mutable_batch() = std::move(batch);
  message.mutable_batch()->set_nonce(nonce);
  message.mutable_batch()->set_head_revision(message.batch().to_revision());
  return message;
}
inline v1::SyncResponse Begin(uint64_t revision) {
  v1::SyncResponse message;
  message.mutable_snapshot_begin()->set_revision(revision);
  return message;
}
inline v1::SyncResponse End(uint64_t revision, uint64_t nonce) {
  v1::SyncResponse message;
  message.mutable_snapshot_end()->set_revision(revision);
  message.mutable_snapshot_end()->set_nonce(nonce);
  return message;
}

class Sync : public testing::Test {
 protected:
  void SetUp() override {
    state_ = state::StateWriter::Open(directory_.path()).value();
    reader_ = state::StateReader::Open(directory_.path()).value();
    session_ = std::make_unique<Session>(SessionOptions{.role = v1::STORE,
                                                        .agent_version = "0.1.0",
                                                        .endpoints = {{"lmtp", "store1:24"}},
                                                        .allowed_removals = [this] { return allowed_; }},
                                         *state_, clock_);
    applier_ = std::make_unique<Applier>(v1::STORE, std::vector<drivers::Driver*>{&driver_}, *state_, clock_);
    ASSERT_TRUE(session_->Hello().ok());
  }

  void Take(const v1::SyncResponse& message) {
    const absl::Status status = session_->Take(message);
    ASSERT_TRUE(status.ok()) << status;
  }
  v1::Progress Report() { return session_->Report().value().value().progress(); }

  HandClock clock_;
  state::TestDirectory directory_;
  uint64_t allowed_ = 0;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<Session> session_;
  RecordingDriver driver_;
  std::unique_ptr<Applier> applier_;
};

}  // namespace prov::sync
