#include "agents/mail/policy/hello_policy.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <string>
#include <system_error>

#include "common/mail_address.h"

namespace prov::policy {
namespace {

constexpr std::string_view kIPv6Tag = "ipv6:";

bool IsLiteral(std::string_view name) {
  if (name.size() < 2 || !name.ends_with(']')) return false;
  std::string inside = FoldAddress(name.substr(1, name.size() - 2));
  const bool v6 = inside.starts_with(kIPv6Tag);
  if (v6) inside.erase(0, kIPv6Tag.size());
  std::error_code error;
  const asio::ip::address address = asio::ip::make_address(inside, error);
  return !error && address.is_v6() == v6;
}

}  // namespace

bool IsHelloName(std::string_view name) {
  if (name.starts_with('[')) return IsLiteral(name);
  if (name.ends_with('.')) name.remove_suffix(1);
  // The underscore is in no host name, and in many a client's.
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c > 0x7f;
  });
  return plain && name.size() <= kMaxDomainOctets && name.find('.') != name.npos && !name.starts_with('.') &&
         !name.ends_with('.') && name.find("..") == name.npos;
}

asio::awaitable<Verdict> HelloPolicy::Hello(const Client& client) {
  if (client.trusted || IsHelloName(client.hello)) co_return Verdict{};
  co_return Verdict{504, "5.5.2", "name yourself by a full host name or an address literal"};
}

}  // namespace prov::policy
