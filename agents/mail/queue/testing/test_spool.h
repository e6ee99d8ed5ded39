// Queues in directories of their own below /tmp, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/queue/spool.h"

namespace prov::queue {

// Gone with its owner.
class TestQueueDirectory {
 public:
  TestQueueDirectory() {
    std::string pattern = "/tmp/prov-queue-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  TestQueueDirectory(const TestQueueDirectory&) = delete;
  ~TestQueueDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

  std::vector<std::string> Files(const std::string& part) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_ + "/" + part)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

 private:
  std::string path_;
};

inline std::unique_ptr<Spool> OpenSpool(const std::string& directory) {
  auto spool = Spool::Open(directory);
  EXPECT_TRUE(spool.ok()) << spool.status();
  return spool.ok() ? *std::move(spool) : nullptr;
}

inline Envelope TestEnvelope(std::string_view sender, const std::vector<std::string>& recipients,
                             Time received = std::chrono::system_clock::now()) {
  Envelope envelope;
  envelope.id = envelope.trace = Spool::NewId(received);
  envelope.received = std::chrono::floor<std::chrono::milliseconds>(received);
  envelope.client = "192.0.2.1";
  envelope.sender = std::string(sender);
  for (const std::string& recipient : recipients) envelope.recipients.push_back({recipient});
  return envelope;
}

// Accepts a message; an id that is empty in the result means that it failed.
inline StoredMessage Store(Spool& spool, Envelope envelope, std::string_view content) {
  auto writer = spool.Begin(std::move(envelope));
  EXPECT_TRUE(writer.ok()) << writer.status();
  if (!writer.ok()) return {};
  EXPECT_TRUE((*writer)->Append(content).ok());
  auto stored = (*writer)->Commit();
  EXPECT_TRUE(stored.ok()) << stored.status();
  return stored.ok() ? *stored : StoredMessage();
}

// All that lies there.
inline absl::StatusOr<std::vector<StoredMessage>> ScanAll(Spool& spool) {
  auto scan = spool.BeginScan();
  if (!scan.ok()) return scan.status();
  std::vector<StoredMessage> all;
  for (;;) {
    auto piece = (*scan)->Next(7);
    if (!piece.ok()) return piece.status();
    if (!*piece) return all;
    for (StoredMessage& message : **piece) all.push_back(std::move(message));
  }
}

inline std::string ContentOf(const Spool& spool, const StoredMessage& message) {
  auto reader = spool.OpenContent(message);
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::string content;
  while (reader.ok()) {
    auto piece = (*reader)->Read();
    EXPECT_TRUE(piece.ok()) << piece.status();
    if (!piece.ok() || piece->empty()) break;
    content += *piece;
  }
  return content;
}

}  // namespace prov::queue
