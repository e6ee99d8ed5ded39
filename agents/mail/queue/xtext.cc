#include "agents/mail/queue/xtext.h"

namespace prov::queue {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEF";  // upper case alone

bool StandsForItself(char c) { return c >= '!' && c <= '~' && c != '+' && c != '='; }

}  // namespace

std::optional<std::string> DecodeXtext(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '+') {
      if (!StandsForItself(text[i])) return std::nullopt;
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const size_t high = kDigits.find(text[i + 1]), low = kDigits.find(text[i + 2]);
    if (high == kDigits.npos || low == kDigits.npos) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::string EncodeXtext(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (StandsForItself(c)) {
      encoded += c;
      continue;
    }
    const auto octet = static_cast<unsigned char>(c);
    encoded += {'+', kDigits[octet / 16], kDigits[octet % 16]};
  }
  return encoded;
}

}  // namespace prov::queue
