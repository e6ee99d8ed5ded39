#include "server/model/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"
#include "common/utf8.h"

namespace prov::model {
namespace {

constexpr size_t kEchoOctets = 60;
constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kNameOctets = "abcdefghijklmnopqrstuvwxyz0123456789-";

absl::Status CheckName(std::string_view field, std::string_view id, size_t limit, std::string_view mend) {
  const bool good = !id.empty() && id.size() <= limit && kLower.find(id.front()) != std::string_view::npos &&
                    id.back() != '-' && id.find_first_not_of(kNameOctets) == std::string_view::npos;
  return good ? absl::OkStatus() : InvalidField(field, fmt::format("{} {}", Echo(id), mend));
}

}  // namespace

std::string Echo(std::string_view value) {
  std::string echoed = "\"";
  for (const unsigned char c : value.substr(0, kEchoOctets)) {
    if (c == '"' || c == '\\') {
      echoed += fmt::format("\\{}", static_cast<char>(c));
    } else if (c < 0x20 || c >= 0x7f) {
      echoed += fmt::format("\\x{:02x}", c);
    } else {
      echoed += static_cast<char>(c);
    }
  }
  echoed += value.size() > kEchoOctets ? "…\"" : "\"";
  return echoed;
}

absl::StatusOr<MailAddress> CheckAddress(std::string_view field, std::string_view address) {
  absl::StatusOr<MailAddress> parsed = ParseHostedAddress(address);
  if (parsed.ok()) return parsed;
  return InvalidField(field, fmt::format("{} {}", Echo(address), MessageOf(parsed.status())));
}

absl::StatusOr<std::string> CheckDomain(std::string_view field, std::string_view domain) {
  absl::StatusOr<std::string> normal = NormaliseDomain(domain);
  if (normal.ok()) return normal;
  return InvalidField(field, fmt::format("{} {}", Echo(domain), MessageOf(normal.status())));
}

absl::Status CheckText(std::string_view field, std::string_view text, size_t limit) {
  size_t characters = 0;
  for (std::string_view rest = text; !rest.empty(); ++characters) {
    if (characters == limit) {
      return InvalidField(field, fmt::format("{} is longer than {} characters", Echo(text), limit));
    }
    char32_t character = 0;
    const size_t length = DecodeUtf8(rest, character);
    if (length == 0) return InvalidField(field, fmt::format("{} is not valid UTF-8", Echo(text)));
    if (IsControlCharacter(character))
      return InvalidField(field, fmt::format("{} has a control character", Echo(text)));
    rest.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status CheckPlan(std::string_view field, std::string_view plan) {
  const bool good =
      plan.size() <= kMaxPlanOctets && std::all_of(plan.begin(), plan.end(), [](unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
               c == '.' || c == '_';
      });
  if (good) return absl::OkStatus();
  return InvalidField(
      field, fmt::format("{} must be letters, digits, dash, dot or underscore, at most {} octets", Echo(plan),
                         kMaxPlanOctets));
}

absl::Status CheckQuota(std::string_view field, int64_t bytes) {
  if (bytes >= 0 && bytes <= kMaxQuotaBytes) return absl::OkStatus();
  return InvalidField(field, fmt::format("{} must be from 0 to {} octets", bytes, kMaxQuotaBytes));
}

absl::Status CheckLabels(std::string_view field, const std::map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels)
    return InvalidField(field, fmt::format("has more than {} entries", kMaxLabels));
  for (const auto& [key, value] : labels) {
    if (key.empty() || key.size() > kMaxLabelOctets || value.size() > kMaxLabelOctets) {
      return InvalidField(field, fmt::format("{}: key and value are at most {} octets, the key at least one",
                                             Echo(key), kMaxLabelOctets));
    }
    PROV_RETURN_IF_ERROR(CheckText(field, key, kMaxLabelOctets));
    PROV_RETURN_IF_ERROR(CheckText(field, value, kMaxLabelOctets));
  }
  return absl::OkStatus();
}

absl::Status CheckWeight(std::string_view field, uint32_t weight) {
  if (weight <= kMaxWeight) return absl::OkStatus();
  return InvalidField(field, fmt::format("{} is more than {}", weight, kMaxWeight));
}

absl::Status CheckForward(std::string_view field, Forward& forward) {
  const std::string targets_field = fmt::format("{}.targets", field);
  if (forward.targets.size() > kMaxForwardTargets) {
    return InvalidField(targets_field, fmt::format("has more than {} addresses", kMaxForwardTargets));
  }
  for (std::string& target : forward.targets) {
    PROV_ASSIGN_OR_RETURN(const MailAddress address, CheckAddress(targets_field, target));
    target = address.ToString();
  }
  std::sort(forward.targets.begin(), forward.targets.end());
  forward.targets.erase(std::unique(forward.targets.begin(), forward.targets.end()), forward.targets.end());
  if (forward.targets.empty()) forward.keep_copy = false;
  return absl::OkStatus();
}

absl::Status CheckOwners(std::string_view field, std::vector<std::string>& owners) {
  if (owners.empty()) {
    return InvalidField(field, "must name somebody who gets bounces and requests; give one address or more");
  }
  if (owners.size() > kMaxListOwners) {
    return InvalidField(field, fmt::format("has more than {} addresses", kMaxListOwners));
  }
  for (std::string& owner : owners) {
    PROV_ASSIGN_OR_RETURN(const MailAddress address, CheckAddress(field, owner));
    owner = address.ToString();
  }
  std::sort(owners.begin(), owners.end());
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  return absl::OkStatus();
}

absl::Status CheckPoolId(std::string_view field, std::string_view id) {
  return CheckName(field, id, kMaxPoolIdOctets,
                   "must start with a letter and have only a-z, 0-9 and dashes, at most 63 octets");
}

absl::Status CheckHostId(std::string_view field, std::string_view id) {
  constexpr std::string_view kMend =
      "must be a host name in lower case, such as store1 or store1.example.net";
  if (id.empty() || id.size() > kMaxDomainOctets)
    return InvalidField(field, fmt::format("{} {}", Echo(id), kMend));
  for (size_t start = 0; start <= id.size();) {
    const size_t dot = std::min(id.find('.', start), id.size());
    const std::string_view label = id.substr(start, dot - start);
    const bool good = !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                      label.find_first_not_of(kNameOctets) == std::string_view::npos;
    if (!good) return InvalidField(field, fmt::format("{} {}", Echo(id), kMend));
    start = dot + 1;
  }
  return absl::OkStatus();
}

absl::Status CheckRequestId(std::string_view request_id) {
  const bool good =
      request_id.size() <= kMaxRequestIdOctets &&
      std::all_of(request_id.begin(), request_id.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (good) return absl::OkStatus();
  return InvalidField("request_id",
                      fmt::format("{} must be printable ASCII without spaces, at most {} octets",
                                  Echo(request_id), kMaxRequestIdOctets));
}

}  // namespace prov::model
