#include "agents/mail/maildir/file_name.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace prov::maildir {
namespace {

constexpr std::string_view kUidlField = ",UIDL=";
constexpr std::string_view kFlags = ":2,";
constexpr size_t kMaxFileNameOctets = 255;  // NAME_MAX of the file systems there are

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

bool IsSayableUidl(std::string_view uidl) {
  return !uidl.empty() && uidl.size() <= kMaxUidlOctets &&
         std::all_of(uidl.begin(), uidl.end(), [](unsigned char c) { return c >= 0x21 && c <= 0x7e; });
}

std::string UidlOf(std::string_view file_name) {
  std::optional<std::string> imported = ImportedUidlOf(file_name);
  return imported ? *std::move(imported) : UidlOfName(file_name);
}

std::string UidlOfName(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  return IsSayableUidl(base) ? std::string(base) : Sha256Hex(base);
}

std::optional<std::string> ImportedUidlOf(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  const size_t field = base.rfind(kUidlField);
  if (field == base.npos) return std::nullopt;
  const std::string_view value = base.substr(field + kUidlField.size());
  std::string uidl;
  for (size_t i = 0; i < value.size() && value[i] != ','; ++i) {
    unsigned char octet = static_cast<unsigned char>(value[i]);
    if (octet == '%') {
      const std::string_view hex = value.substr(i + 1, 2);
      const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), octet, 16);
      if (error != std::errc() || end != hex.data() + 2) return std::nullopt;
      i += 2;
    }
    uidl += static_cast<char>(octet);
  }
  if (!IsSayableUidl(uidl)) return std::nullopt;
  return uidl;
}

std::optional<std::string> WithImportedUidl(std::string_view file_name, std::string_view uidl) {
  const std::string_view base = BaseOf(file_name);
  if (!IsSayableUidl(uidl) || base.find(kUidlField) != base.npos) return std::nullopt;
  std::string name(base);
  name += kUidlField;
  for (const char c : uidl) {
    if (std::string_view("%,:/=").find(c) == std::string_view::npos) {
      name += c;
    } else {
      name += fmt::format("%{:02X}", static_cast<unsigned>(c));
    }
  }
  name += file_name.substr(base.size());
  if (name.size() > kMaxFileNameOctets) return std::nullopt;
  return name;
}

bool IsSeen(std::string_view file_name) {
  const std::string_view info = file_name.substr(BaseOf(file_name).size());
  return info.starts_with(kFlags) && info.find('S', kFlags.size()) != info.npos;
}

std::optional<std::string> SeenNameOf(std::string_view file_name) {
  const std::string_view base = BaseOf(file_name);
  const std::string_view info = file_name.substr(base.size());
  if (IsSeen(file_name)) return std::string(file_name);
  if (!info.empty() && !info.starts_with(kFlags)) return std::nullopt;
  // In order, as cr.yp.to/proto/maildir.html has it.
  std::string flags(info.empty() ? info : info.substr(kFlags.size()));
  flags.insert(std::find_if(flags.begin(), flags.end(), [](char c) { return c > 'S'; }), 'S');
  std::string name = fmt::format("{}{}{}", base, kFlags, flags);
  if (name.size() > kMaxFileNameOctets) return std::nullopt;
  return name;
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
