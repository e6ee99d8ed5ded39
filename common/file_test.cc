#include "common/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace prov {
namespace {

TEST(File, ReplaceIsWholeAndLeavesNoTemporary) {
  const std::string directory = testing::TempDir() + "/replace";
  ASSERT_TRUE(EnsureDirectory(directory, 0700).ok());
  ASSERT_TRUE(EnsureDirectory(directory, 0700).ok());
  ASSERT_TRUE(ReplaceFile(directory + "/f", "one", 0600).ok());
  ASSERT_TRUE(ReplaceFile(directory + "/f", "two", 0640).ok());
  EXPECT_EQ(ReadFile(directory + "/f", 100).value(), "two");
  struct stat info;
  ASSERT_EQ(stat((directory + "/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST(File, FailedReplaceKeepsTheOldFile) {
  const std::string directory = testing::TempDir() + "/blocked";
  ASSERT_TRUE(EnsureDirectory(directory, 0700).ok());
  ASSERT_TRUE(EnsureDirectory(directory + "/target", 0700).ok());
  EXPECT_FALSE(ReplaceFile(directory + "/target", "x", 0600).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST(File, ReadHasALimit) {
  const std::string path = testing::TempDir() + "/long";
  ASSERT_TRUE(ReplaceFile(path, std::string(101, 'x'), 0600).ok());
  EXPECT_EQ(ReadFile(path, 100).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(path + ".none", 100).status().code(), absl::StatusCode::kNotFound);
}

TEST(File, EnsureDirectoryRefusesAFileInItsPlace) {
  const std::string path = testing::TempDir() + "/occupied";
  ASSERT_TRUE(ReplaceFile(path, "", 0600).ok());
  EXPECT_FALSE(EnsureDirectory(path, 0700).ok());
}

}  // namespace
}  // namespace prov
