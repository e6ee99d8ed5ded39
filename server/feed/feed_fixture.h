// For tests: a small fleet in memory, and an agent that takes in what it is sent.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "server/directory/memory_truth.h"
#include "server/feed/feed.h"

namespace prov::feed {

inline model::Pool PoolOf(const std::string& id, model::Role role) {
  model::Pool pool;
  pool.id = id;
  pool.role = role;
  return pool;
}

inline model::Host HostIn(const std::string& id, std::vector<std::string> pools) {
  model::Host host;
  host.id = id;
  host.pools = std::move(pools);
  return host;
}

// What a faithful agent makes of the stream.
struct Copy {
  std::map<std::string, v1::Record> records;
  std::map<std::string, v1::Record> snapshot;
  bool in_snapshot = false;
  uint64_t revision = 0;
  uint64_t head = 0;
  int snapshots = 0;
  int batches = 0;
  size_t most_records = 0;
  size_t most_octets = 0;
  std::vector<std::string> order;  // of what came since the last clear; "-key" for removals

  void Take(const v1::SyncResponse& message) {
    if (message.has_snapshot_begin()) {
      in_snapshot = true;
      snapshot.clear();
      ++snapshots;
    } else if (message.has_snapshot_end()) {
      ASSERT_TRUE(in_snapshot);
      in_snapshot = false;
      records.swap(snapshot);
      revision = message.snapshot_end().revision();
    } else if (message.has_batch()) {
      TakeBatch(message.batch());
    }
  }

  void TakeBatch(const v1::Batch& batch) {
    ++batches;
    most_records = std::max<size_t>(most_records, batch.records_size() + batch.removed_keys_size());
    most_octets = std::max(most_octets, batch.ByteSizeLong());
    head = batch.head_revision();
    auto& into = in_snapshot ? snapshot : records;
    for (const v1::Record& record : batch.records()) {
      into[record.key()] = record;
      order.push_back(record.key());
    }
    for (const std::string& key : batch.removed_keys()) {
      ASSERT_FALSE(in_snapshot) << "absence is not deletion";
      into.erase(key);
      order.push_back("-" + key);
    }
    EXPECT_TRUE(!in_snapshot || batch.to_revision() == 0);
    if (batch.to_revision() != 0) {
      EXPECT_GE(batch.to_revision(), revision);
      revision = batch.to_revision();
    }
  }

  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, record] : records) keys.push_back(key);
    return keys;
  }
};

class FeedTest : public ::testing::Test {
 protected:
  FeedTest() {
    truth_.Put(PoolOf("main", model::Role::kStore));
    truth_.Put(PoolOf("second", model::Role::kStore));
    truth_.Put(PoolOf("mx", model::Role::kRelay));
    truth_.Put(HostIn("store1", {"main"}));
    truth_.Put(HostIn("mx1", {"mx"}));
    model::Domain domain;
    domain.name = "example.net";
    truth_.Put(domain);
  }

  std::unique_ptr<FeedStream> Open(Feed& feed, const std::string& host, model::Role role, uint64_t cursor) {
    auto stream = feed.Open(host, role, cursor);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return stream.ok() ? *std::move(stream) : nullptr;
  }

  // Until there is nothing more.
  static absl::Status Drain(FeedStream& stream, Copy& copy) {
    for (;;) {
      absl::StatusOr<FeedStream::Step> step = stream.Next();
      if (!step.ok()) return step.status();
      if (step->message.has_value()) copy.Take(*step->message);
      if (!step->message.has_value() && !step->more) return absl::OkStatus();
    }
  }

  void PutMany(int64_t from, int64_t to) {
    for (int64_t id = from; id < to; ++id)
      truth_.Put(directory::TestSubscriber(id, fmt::format("u{}@example.net", id)));
  }

  directory::MemoryTruth truth_;
};

}  // namespace prov::feed
