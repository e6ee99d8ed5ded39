#include "agents/mail/queue/spare_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "agents/mail/queue/testing/test_spool.h"

namespace prov::queue {
namespace {

const std::string kText = "Subject: x\r\n\r\nsome text\r\n";

ino_t InodeOf(const std::string& path) {
  struct stat about {};
  EXPECT_EQ(stat(path.c_str(), &about), 0) << path;
  return about.st_ino;
}

StoredMessage StoreText(Spool& spool, const std::string& text) {
  return Store(spool, TestEnvelope("a@b.c", {"x@y.z"}), text);
}

TEST(SpareFiles, AFinishedMessagesFileIsUsedAgain) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const std::string first = StoreText(*spool, kText + kText).envelope.id;
  const ino_t inode = InodeOf(directory.path() + "/active/" + first);
  ASSERT_TRUE(spool->Remove(first).ok());
  EXPECT_TRUE(directory.Files("active").empty());
  const StoredMessage second = StoreText(*spool, kText);
  EXPECT_EQ(InodeOf(directory.path() + "/active/" + second.envelope.id), inode);
  EXPECT_EQ(ContentOf(*spool, second), kText);
  // Nothing of the longer one is left behind its end.
  const auto loaded = spool->Load(second.envelope.id);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->good_octets,
            std::filesystem::file_size(directory.path() + "/active/" + second.envelope.id));
}

TEST(SpareFiles, WhatWasDeliveredIsNotKeptInThem) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  ASSERT_TRUE(spool->Remove(StoreText(*spool, kText).envelope.id).ok());
  const auto spare = directory.Files("spare");
  ASSERT_EQ(spare.size(), 1u);
  EXPECT_EQ(std::filesystem::file_size(directory.path() + "/spare/" + spare[0]), 0u);
}

TEST(SpareFiles, AFileThatIsOpenIsNotUsedAgain) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const StoredMessage first = StoreText(*spool, kText);
  auto reader = spool->OpenContent(first);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(spool->Remove(first.envelope.id).ok());
  StoreText(*spool, "another one, which must not be read here\r\n");
  EXPECT_EQ(*(*reader)->Read(), kText);
  EXPECT_TRUE(absl::IsNotFound(spool->OpenContent(first).status()));
}

TEST(SpareFiles, AFileThatWasOpenIsUsedAgainOnceItIsClosed) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const StoredMessage first = StoreText(*spool, kText);
  EXPECT_EQ(ContentOf(*spool, first), kText);
  ASSERT_TRUE(spool->Remove(first.envelope.id).ok());
  EXPECT_EQ(directory.Files("spare").size(), 1u);
}

TEST(SpareFiles, AMessageWhoseFileIsGoneIsFinished) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const std::string id = StoreText(*spool, kText).envelope.id;
  std::filesystem::remove(directory.path() + "/active/" + id);
  EXPECT_TRUE(spool->Remove(id).ok());
  EXPECT_TRUE(directory.Files("spare").empty());
}

TEST(SpareFiles, AHardLinkKeepsItsContent) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const std::string id = StoreText(*spool, kText).envelope.id;
  const std::string kept = directory.path() + "/kept";
  std::filesystem::create_hard_link(directory.path() + "/active/" + id, kept);
  ASSERT_TRUE(spool->Remove(id).ok());
  StoreText(*spool, "other\r\n");
  std::ostringstream content;
  content << std::ifstream(kept).rdbuf();
  EXPECT_NE(content.str().find(kText), std::string::npos);
}

TEST(SpareFiles, AtMostSoManyAreKept) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  std::vector<std::string> ids;
  for (size_t i = 0; i < kMostSpareFiles + 3; ++i) ids.push_back(StoreText(*spool, kText).envelope.id);
  for (const std::string& id : ids) ASSERT_TRUE(spool->Remove(id).ok());
  EXPECT_EQ(directory.Files("spare").size(), kMostSpareFiles);
  EXPECT_TRUE(directory.Files("active").empty());
}

TEST(SpareFiles, TheNextEngineBeginsWithoutThem) {
  TestQueueDirectory directory;
  {
    const auto spool = OpenSpool(directory.path());
    ASSERT_TRUE(spool->Remove(StoreText(*spool, kText).envelope.id).ok());
  }
  const auto spool = OpenSpool(directory.path());
  EXPECT_TRUE(directory.Files("spare").empty());
  EXPECT_EQ(ContentOf(*spool, StoreText(*spool, kText)), kText);
}

// What a power cut between a message's end and the directory's sync may leave.
TEST(SpareFiles, AnEmptyFileIsNoMessageAndNoTornOne) {
  TestQueueDirectory directory;
  const auto spool = OpenSpool(directory.path());
  const std::string id = StoreText(*spool, kText).envelope.id;
  std::filesystem::resize_file(directory.path() + "/active/" + id, 0);
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_TRUE(messages->empty());
  EXPECT_TRUE(directory.Files("dead").empty());
  EXPECT_TRUE(directory.Files("active").empty());
}

}  // namespace
}  // namespace prov::queue
