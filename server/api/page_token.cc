#include "server/api/page_token.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "absl/strings/escaping.h"
#include "common/status.h"

namespace prov::api {
namespace {

constexpr size_t kMaxTokenOctets = 1024;
constexpr size_t kHashDigits = 16;

// Only to notice a mistake: a token gives no right that its holder does not have.
std::string QueryHash(std::string_view query) {
  return fmt::format("{:016x}", std::hash<std::string_view>()(query));
}

}  // namespace

absl::StatusOr<size_t> PageSize(int32_t requested) {
  if (requested < 0) return InvalidField("page_size", "must not be negative");
  if (requested == 0) return kDefaultPageSize;
  return std::min(requested, kMaxPageSize);
}

std::string MakePageToken(std::string_view query, std::string_view last) {
  const std::string plain = QueryHash(query) + std::string(last);
  std::string token;
  absl::WebSafeBase64Escape(plain, &token);
  return token;
}

absl::StatusOr<std::string> ReadPageToken(std::string_view query, std::string_view token) {
  if (token.empty()) return std::string();
  std::string plain;
  if (token.size() > kMaxTokenOctets ||
      !absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &plain) ||
      plain.size() <= kHashDigits) {
    return InvalidField("page_token", "is not one that was given out; start again without it");
  }
  if (plain.substr(0, kHashDigits) != QueryHash(query)) {
    return InvalidField("page_token", "belongs to another query; start again without it");
  }
  return plain.substr(kHashDigits);
}

}  // namespace prov::api
