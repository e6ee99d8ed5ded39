#include "pam_module/login_name.h"

namespace prov::pam {
namespace {

constexpr size_t kMaxLoginOctets = 254;     // RFC 5321 section 4.5.3.1.3
constexpr size_t kMaxLocalPartOctets = 64;  // RFC 5321 section 4.5.3.1.1
constexpr std::string_view kDomainOctets = "abcdefghijklmnopqrstuvwxyz0123456789-.";
constexpr std::string_view kLocalPartOctets = "abcdefghijklmnopqrstuvwxyz0123456789#$&'+-=?^_{}~.";

bool IsMadeOf(std::string_view text, std::string_view octets) {
  return !text.empty() && text.find_first_not_of(octets) == std::string_view::npos;
}

}  // namespace

std::optional<std::string> LoginName(std::string_view typed) {
  if (typed.size() > kMaxLoginOctets) return std::nullopt;
  std::string name(typed);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const size_t at = name.find('@');
  if (at == std::string::npos || at > kMaxLocalPartOctets) return std::nullopt;
  const std::string_view whole(name);
  if (!IsMadeOf(whole.substr(0, at), kLocalPartOctets) || !IsMadeOf(whole.substr(at + 1), kDomainOctets))
    return std::nullopt;
  return name;
}

}  // namespace prov::pam
