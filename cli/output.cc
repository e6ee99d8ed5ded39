#include "cli/output.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>

#include "common/size.h"
#include "common/status.h"
#include "common/utf8.h"

namespace prov::cli {
namespace {

constexpr size_t kFarthestTypo = 3;

// Code points, not octets: what a terminal gives a column to, but for wide and combining characters.
size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row[b.size()];
}

}  // namespace

Exit ExitOf(const absl::Status& status) {
  if (ReasonOf(status) == "NOT_CONVERGED") return kNotConverged;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kAlreadyExists:
      return kExists;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kInvalid;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kDenied;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kUnavailable;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return kConflict;
    default:
      return kFailed;
  }
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}\n";
  return json;
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)), widths_(header_.size()) {}

std::string Table::Rows(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> lines;
  if (!begun_) lines.push_back(header_);
  begun_ = true;
  for (const auto& row : rows) {
    std::vector<std::string>& safe = lines.emplace_back();
    for (const std::string& cell : row) safe.push_back(Safe(cell));
  }
  for (const auto& line : lines) {
    for (size_t i = 0; i < widths_.size(); ++i) widths_[i] = std::max(widths_[i], WidthOf(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string padded;
    for (size_t i = 0; i < widths_.size(); ++i) {
      padded += line[i] + std::string(widths_[i] - WidthOf(line[i]) + 2, ' ');
    }
    padded.erase(padded.find_last_not_of(' ') + 1);
    text += padded + "\n";
  }
  return text;
}

std::string ToTable(const std::vector<std::string>& header,
                    const std::vector<std::vector<std::string>>& rows) {
  return Table(header).Rows(rows);
}

std::string ToList(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [key, value] : fields) width = std::max(width, WidthOf(key));
  std::string list;
  for (const auto& [key, value] : fields) {
    list += fmt::format("{}{}{}\n", key, std::string(width - WidthOf(key) + 2, ' '), Safe(value));
  }
  return list;
}

std::string Safe(std::string_view text) {
  std::string safe;
  while (!text.empty()) {
    char32_t character = 0;
    const size_t length = DecodeUtf8(text, character);
    if (length == 0 || IsControlCharacter(character)) {
      const size_t octets = std::max<size_t>(length, 1);
      for (const unsigned char c : text.substr(0, octets)) safe += fmt::format("\\x{:02x}", c);
      text.remove_prefix(octets);
    } else {
      safe += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return safe;
}

std::string ErrorText(const absl::Status& status) {
  std::string text;
  for (const FieldViolation& violation : ViolationsOf(status)) {
    text += fmt::format("provctl: {}: {}\n", Safe(violation.field), Safe(violation.description));
  }
  if (!text.empty()) return text;
  return fmt::format("provctl: {}\n", Safe(MessageOf(status)));
}

absl::Status ParseSize(const std::string& text, int64_t& octets) {
  const std::optional<int64_t> size = prov::ParseSize(text);
  if (!size) {
    return InvalidField("--quota", fmt::format("\"{}\" is not a size up to 1024T; write 500M, 1G or 0",
                                               Safe(text.substr(0, 40))));
  }
  octets = *size;
  return absl::OkStatus();
}

std::string SizeText(int64_t octets) {
  if (octets == 0) return "default";
  constexpr std::string_view kUnits = "kMGT";
  for (size_t i = kUnits.size(); i > 0; --i) {
    const int64_t unit = int64_t{1} << (10 * i);
    if (octets % unit == 0) return fmt::format("{}{}", octets / unit, kUnits[i - 1]);
  }
  return std::to_string(octets);
}

std::string Nearest(std::string_view word, const std::vector<std::string>& words) {
  std::string nearest;
  size_t distance = kFarthestTypo + 1;
  for (const std::string& candidate : words) {
    const size_t its = EditDistance(word.substr(0, 40), candidate);
    if (its < distance) {
      distance = its;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace prov::cli
