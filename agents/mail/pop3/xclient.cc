#include "agents/mail/pop3/xclient.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <charconv>
#include <system_error>

#include "agents/mail/net/peer.h"
#include "common/mail_address.h"

namespace prov::pop3 {
namespace {

bool SetAddress(std::string_view text, Xclient& client) {
  constexpr std::string_view kV6 = "ipv6:";
  if (FoldAddress(text.substr(0, kV6.size())) == kV6) text.remove_prefix(kV6.size());
  // A scope ("%eth0") means something on the proxy alone.
  if (text.find('%') != text.npos) return false;
  std::error_code error;
  const auto address = asio::ip::make_address(std::string(text), error);
  client.address = error ? "" : net::AddressText(address);
  return !error;
}

bool SetPort(std::string_view text, Xclient& client) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), client.port);
  return error == std::errc() && end == text.data() + text.size();
}

bool SetSession(std::string_view text, Xclient& client) {
  client.session = std::string(text);
  return !text.empty() && text.size() <= kMaxSessionOctets &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::optional<Xclient> ParseXclient(std::string_view argument) {
  Xclient client;
  while (!argument.empty()) {
    const std::string_view word = argument.substr(0, argument.find(' '));
    argument.remove_prefix(std::min(word.size() + 1, argument.size()));
    if (word.empty()) continue;
    const size_t equals = word.find('=');
    if (equals == word.npos) return std::nullopt;
    const std::string name = FoldAddress(word.substr(0, equals));
    const std::string_view value = word.substr(equals + 1);
    if (name == "addr" && !SetAddress(value, client)) return std::nullopt;
    if (name == "port" && !SetPort(value, client)) return std::nullopt;
    if (name == "session" && !SetSession(value, client)) return std::nullopt;
  }
  return client;
}

}  // namespace prov::pop3
