#include "common/mail_address.h"

#include <fmt/format.h>
#include <idn2.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr size_t kMaxLabelOctets = 63;  // RFC 1035 section 2.3.4

// RFC 5322 atext, without the characters that routing software of old gave a meaning: % ! (source routes),
// | and / (pipes and files in aliases), * (wildcards), ` (shells).
constexpr std::string_view kLocalPartOctets =
    "abcdefghijklmnopqrstuvwxyz0123456789"
    "#$&'+-=?^_{}~.";

std::vector<std::string_view> SplitLabels(std::string_view domain) {
  std::vector<std::string_view> labels;
  for (size_t start = 0;;) {
    const size_t dot = domain.find('.', start);
    labels.push_back(domain.substr(start, dot - start));
    if (dot == std::string_view::npos) return labels;
    start = dot + 1;
  }
}

std::string LowerAscii(std::string_view text) {
  std::string lower(text);
  absl::AsciiStrToLower(&lower);
  return lower;
}

absl::Status CheckAsciiDomain(std::string_view domain) {
  if (domain.size() > kMaxDomainOctets) {
    return absl::InvalidArgumentError(fmt::format("is longer than {} octets", kMaxDomainOctets));
  }
  const std::vector<std::string_view> labels = SplitLabels(domain);
  if (labels.size() < 2) return absl::InvalidArgumentError("needs at least two labels, such as example.net");
  for (const std::string_view label : labels) {
    if (label.empty()) return absl::InvalidArgumentError("has an empty label");
    if (label.size() > kMaxLabelOctets) {
      return absl::InvalidArgumentError(fmt::format("has a label longer than {} octets", kMaxLabelOctets));
    }
    if (label.front() == '-' || label.back() == '-') {
      return absl::InvalidArgumentError("has a label that starts or ends with a dash");
    }
    for (const char c : label) {
      if (!absl::ascii_isdigit(c) && !absl::ascii_islower(c) && c != '-') {
        return absl::InvalidArgumentError("has a character other than letters, digits and dash");
      }
    }
  }
  if (labels.back().find_first_not_of("0123456789") == std::string_view::npos) {
    return absl::InvalidArgumentError("ends in a number, like an IP address");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> NormaliseDomain(std::string_view domain) {
  if (domain.empty()) return absl::InvalidArgumentError("is empty");
  // A U-label is up to four octets a character; anything longer cannot become a valid domain.
  if (domain.size() > 4 * kMaxDomainOctets || domain.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("is too long or holds a NUL");
  }
  std::string ascii;
  bool plain = true;
  for (const char c : domain) plain = plain && absl::ascii_isascii(c);
  if (plain) {
    ascii = LowerAscii(domain);
  } else {
    char* out = nullptr;
    const int error = idn2_to_ascii_8z(std::string(domain).c_str(), &out, IDN2_NONTRANSITIONAL);
    if (error != IDN2_OK) {
      return absl::InvalidArgumentError(fmt::format("is not a domain name: {}", idn2_strerror(error)));
    }
    ascii = LowerAscii(out);
    idn2_free(out);
  }
  if (absl::Status status = CheckAsciiDomain(ascii); !status.ok()) return status;
  return ascii;
}

absl::StatusOr<MailAddress> ParseHostedAddress(std::string_view address) {
  if (address.empty()) return absl::InvalidArgumentError("is empty");
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos) return absl::InvalidArgumentError("has no @; write local-part@domain");
  const std::string local = LowerAscii(address.substr(0, at));
  if (local.empty()) return absl::InvalidArgumentError("has nothing before the @");
  if (local.size() > kMaxLocalPartOctets) {
    return absl::InvalidArgumentError(
        fmt::format("has a local part longer than {} octets", kMaxLocalPartOctets));
  }
  if (local.find_first_not_of(kLocalPartOctets) != std::string::npos) {
    return absl::InvalidArgumentError(
        "has a character before the @ that is not a letter, a digit or one of . _ - + = ' # $ & ? ^ { } ~");
  }
  if (local.front() == '.' || local.back() == '.' || local.find("..") != std::string::npos) {
    return absl::InvalidArgumentError("has a dot at an end of the local part, or two in a row");
  }
  if (local.front() == '-') return absl::InvalidArgumentError("starts with a dash");
  absl::StatusOr<std::string> domain = NormaliseDomain(address.substr(at + 1));
  if (!domain.ok())
    return absl::InvalidArgumentError(fmt::format("has a domain that {}", MessageOf(domain.status())));
  MailAddress result{local, *std::move(domain)};
  if (result.ToString().size() > kMaxAddressOctets) {
    return absl::InvalidArgumentError(fmt::format("is longer than {} octets", kMaxAddressOctets));
  }
  return result;
}

std::string FoldAddress(std::string_view address) { return LowerAscii(address); }

}  // namespace prov
