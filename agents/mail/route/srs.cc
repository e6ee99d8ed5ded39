#include "agents/mail/route/srs.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/file.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::route {
namespace {

constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
constexpr size_t kHashOctets = 4;             // of base64: 24 bits
constexpr size_t kMostLocalPartOctets = 200;  // as much as our relays take (smtp/path.cc)
constexpr int kDayCycle = 1024;               // two digits of five bits
constexpr size_t kMostSecretFileOctets = 64 * 1024;

int64_t DayOf(SenderRewriting::Time now) {
  return std::chrono::duration_cast<std::chrono::hours>(now.time_since_epoch()).count() / 24;
}

std::string FormatDay(int64_t day) {
  const auto digit = [](int64_t value) {
    return static_cast<char>(toupper(kDigits[static_cast<size_t>(value & 31)]));
  };
  return {digit(day >> 5), digit(day)};
}

bool IsRecent(std::string_view text, int64_t today) {
  if (text.size() != 2) return false;
  const std::string folded = FoldAddress(text);
  const size_t high = kDigits.find(folded[0]), low = kDigits.find(folded[1]);
  if (high == kDigits.npos || low == kDigits.npos) return false;
  const auto day = static_cast<int64_t>(high * 32 + low);
  const int64_t age = ((today - day) % kDayCycle + kDayCycle) % kDayCycle;
  return age <= kSrsDays;
}

// HMAC-SHA1 of the lower-case text, as all implementations have it; what counts is that it cannot be guessed
// in the days that it is good for.
std::string HashOf(std::string_view secret, std::string_view text) {
  const std::string folded = FoldAddress(text);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(folded.data()), folded.size(), digest.data(), &length);
  return absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(digest.data()), length))
      .substr(0, kHashOctets);
}

bool IsPlain(unsigned char c) {
  return isalnum(c) != 0 || c > 0x7f ||
         std::string_view("#$&'*+-/=?^_`{|}~.").find(static_cast<char>(c)) != std::string_view::npos;
}

std::string_view TakePart(std::string_view& text) {
  const std::string_view part = text.substr(0, text.find('='));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

// "SRS0=rest", with any of the separators that are in use.
std::optional<std::string_view> AfterTag(std::string_view local_part, std::string_view tag) {
  if (local_part.size() <= tag.size() || FoldAddress(local_part.substr(0, tag.size())) != tag)
    return std::nullopt;
  if (std::string_view("=+-").find(local_part[tag.size()]) == std::string_view::npos) return std::nullopt;
  return local_part.substr(tag.size());
}

}  // namespace

SenderRewriting::SenderRewriting(std::string domain, std::vector<std::string> secrets)
    : domain_(std::move(domain)), secrets_(std::move(secrets)) {}

absl::StatusOr<SenderRewriting> SenderRewriting::Load(const std::string& domain,
                                                      const std::string& secret_file) {
  PROV_ASSIGN_OR_RETURN(std::string normal, NormaliseDomain(domain));
  PROV_ASSIGN_OR_RETURN(const std::string text, ReadFile(secret_file, kMostSecretFileOctets));
  std::vector<std::string> secrets;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) secrets.push_back(std::move(line));
  }
  if (secrets.empty()) return absl::InvalidArgumentError(fmt::format("{}: has no secret", secret_file));
  return SenderRewriting(std::move(normal), std::move(secrets));
}

std::string SenderRewriting::Rewrite(std::string_view sender, Time now) const {
  const size_t at = sender.rfind('@');
  if (at == sender.npos) return std::string(sender);
  const std::string_view local = sender.substr(0, at), domain = sender.substr(at + 1);
  // One of ours leads back already; and what needs quotes, or routes by itself, would be refused as a part of
  // ours, here and elsewhere.
  const bool plain = std::all_of(local.begin(), local.end(), IsPlain) && !domain.starts_with('[');
  if (FoldAddress(domain) == domain_ || !plain) return std::string(sender);
  std::string rewritten;
  if (const auto rest = AfterTag(local, "srs1")) {
    // Through any number of hosts it leads straight to the one that first rewrote it.
    std::string_view parts = rest->substr(1);
    TakePart(parts);
    const std::string_view first = TakePart(parts);
    const std::string hash = HashOf(secrets_.front(), fmt::format("{}{}", first, parts));
    rewritten = fmt::format("SRS1={}={}={}@{}", hash, first, parts, domain_);
  } else if (const auto foreign = AfterTag(local, "srs0")) {
    const std::string hash = HashOf(secrets_.front(), fmt::format("{}{}", domain, *foreign));
    rewritten = fmt::format("SRS1={}={}={}@{}", hash, domain, *foreign, domain_);
  } else {
    const std::string day = FormatDay(DayOf(now));
    const std::string hash = HashOf(secrets_.front(), fmt::format("{}{}{}", day, domain, local));
    rewritten = fmt::format("SRS0={}={}={}={}@{}", hash, day, domain, local, domain_);
  }
  const size_t local_octets = rewritten.size() - domain_.size() - 1;
  const bool fits = rewritten.size() <= kMaxAddressOctets && local_octets <= kMostLocalPartOctets;
  return fits ? rewritten : std::string(sender);
}

bool SenderRewriting::IsRewritten(std::string_view local_part, std::string_view domain) const {
  return FoldAddress(domain) == domain_ && (AfterTag(local_part, "srs0") || AfterTag(local_part, "srs1"));
}

bool SenderRewriting::Verifies(std::string_view hash, std::string_view signed_text) const {
  // Hosts on the way may have folded it.
  const std::string folded = FoldAddress(hash);
  return hash.size() == kHashOctets &&
         std::any_of(secrets_.begin(), secrets_.end(), [&](const std::string& secret) {
           const std::string expected = FoldAddress(HashOf(secret, signed_text));
           return CRYPTO_memcmp(expected.data(), folded.data(), kHashOctets) == 0;
         });
}

absl::StatusOr<std::string> SenderRewriting::Restore(std::string_view local_part,
                                                     std::optional<Time> now) const {
  const absl::Status no = absl::NotFoundError("not an address that was rewritten here");
  if (const auto foreign = AfterTag(local_part, "srs1")) {
    std::string_view rest = foreign->substr(1);
    const std::string_view hash = TakePart(rest);
    const std::string_view host = TakePart(rest);
    if (host.empty() || rest.empty() || !Verifies(hash, fmt::format("{}{}", host, rest))) return no;
    return fmt::format("SRS0{}@{}", rest, host);
  }
  const auto own = AfterTag(local_part, "srs0");
  if (!own) return no;
  std::string_view rest = own->substr(1);
  const std::string_view hash = TakePart(rest);
  const std::string_view day = TakePart(rest);
  const std::string_view domain = TakePart(rest);
  if (domain.empty() || rest.empty() || !Verifies(hash, fmt::format("{}{}{}", day, domain, rest))) return no;
  if (now && !IsRecent(day, DayOf(*now))) return no;
  return fmt::format("{}@{}", rest, domain);
}

}  // namespace prov::route
