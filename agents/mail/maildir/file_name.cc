#include "agents/mail/maildir/file_name.h"

#include <openssl/evp.h>

#include <charconv>
#include <cstdlib>

namespace prov::maildir {
namespace {

// The number at the start of `text`; nothing when there is none or it is too large.
std::optional<uint64_t> NumberAt(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::string Sha256Hex(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int octets = 0;
  // Fails only without memory or without SHA-256; two messages of one id would be worse than an end.
  if (EVP_Digest(text.data(), text.size(), digest, &octets, EVP_sha256(), nullptr) != 1) std::abort();
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < octets; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

}  // namespace

std::string_view BaseOf(std::string_view file_name) { return file_name.substr(0, file_name.find(':')); }

std::optional<uint64_t> WireOctetsOf(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  const size_t field = base.find(",W=");
  if (field == std::string_view::npos) return std::nullopt;
  const std::string_view value = base.substr(field + 3);
  const std::string_view digits = value.substr(0, value.find(','));
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return NumberAt(digits);
}

std::string UidlOf(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  bool sayable = !base.empty() && base.size() <= kMaxUidlOctets;
  for (const unsigned char c : base) sayable = sayable && c >= 0x21 && c <= 0x7e;
  return sayable ? std::string(base) : Sha256Hex(base);
}

std::tuple<uint64_t, uint64_t, std::string_view> ArrivalOf(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  const uint64_t seconds = NumberAt(base).value_or(0);
  const size_t dot = base.find('.');
  uint64_t microseconds = 0;
  if (dot != std::string_view::npos && dot + 1 < base.size() && base[dot + 1] == 'M') {
    microseconds = NumberAt(base.substr(dot + 2)).value_or(0);
  }
  return {seconds, microseconds, base};
}

}  // namespace prov::maildir
