// What provctl prints: tables for people, JSON for programs, errors for both.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace prov::cli {

enum class Format { kTable, kJson };

// Exit statuses; provctl(1) documents them.
enum Exit {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kExists = 4,
  kInvalid = 5,
  kDenied = 6,
  kUnavailable = 7,
  kNotConverged = 8,
  kConflict = 9,
};
Exit ExitOf(const absl::Status& status);

// Field names as in the .proto files; fields at their default are there too. Ends with a line end.
std::string ToJson(const google::protobuf::Message& message);

// A table that may come in parts: columns as wide as their widest cell so far; cells are made safe.
class Table {
 public:
  explicit Table(std::vector<std::string> header);

  // Lines for more rows, each as long as the header; the header stands before the first.
  std::string Rows(const std::vector<std::vector<std::string>>& rows);

 private:
  const std::vector<std::string> header_;
  std::vector<size_t> widths_;
  bool begun_ = false;
};

// A table in one part.
std::string ToTable(const std::vector<std::string>& header,
                    const std::vector<std::vector<std::string>>& rows);

// "key   value" lines, keys aligned.
std::string ToList(const std::vector<std::pair<std::string, std::string>>& fields);

// Control characters, and what turns text around, written as \xNN: a display name must not drive the
// terminal.
std::string Safe(std::string_view text);

// "provctl: field: description" for each violation, or the message.
std::string ErrorText(const absl::Status& status);

// "10M", "1G", "512k", "0": octets in powers of 1024.
absl::Status ParseSize(const std::string& text, int64_t& octets);
std::string SizeText(int64_t octets);

// The command nearest to a mistyped one; "" if none is near.
std::string Nearest(std::string_view word, const std::vector<std::string>& words);

}  // namespace prov::cli
