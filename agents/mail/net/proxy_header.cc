#include "agents/mail/net/proxy_header.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include "common/status.h"

namespace prov::net {
namespace {

constexpr std::string_view kV1 = "PROXY ";
constexpr std::string_view kV2("\r\n\r\n\0\r\nQUIT\n", 12);
// Version and command, family and transport: octets 13 and 14.
constexpr unsigned char kLocal = 0x20, kProxy = 0x21;
constexpr unsigned char kTcp4 = 0x11, kTcp6 = 0x21;
constexpr size_t kTcp4Octets = 12, kTcp6Octets = 36;

using Result = absl::StatusOr<std::optional<ProxyHeader>>;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError("no PROXY header: " + std::string(what));
}

// Whether `input` may still become, or is, what begins with `mark`.
bool MayBegin(std::string_view input, std::string_view mark) {
  const size_t known = std::min(input.size(), mark.size());
  return input.substr(0, known) == mark.substr(0, known);
}

absl::StatusOr<Peer> PeerOf(std::string_view address, std::string_view port, bool v6) {
  std::error_code error;
  const asio::ip::address parsed = asio::ip::make_address(std::string(address), error);
  if (error || parsed.is_v6() != v6) return Malformed("an address that is none of its family");
  Peer peer{AddressText(parsed), 0};
  const auto [end, wrong] = std::from_chars(port.data(), port.data() + port.size(), peer.port);
  if (wrong != std::errc() || end != port.data() + port.size()) return Malformed("a port that is none");
  return peer;
}

// "PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n", "PROXY UNKNOWN …\r\n"
Result ParseV1(std::string_view input) {
  const size_t end = input.substr(0, kMaxProxyV1Octets).find("\r\n");
  if (end == input.npos) {
    if (input.size() >= kMaxProxyV1Octets) return Malformed("a line without end");
    return std::nullopt;
  }
  ProxyHeader header{end + 2, std::nullopt};
  std::vector<std::string_view> words;
  for (std::string_view rest = input.substr(kV1.size(), end - kV1.size()); !rest.empty();) {
    const size_t blank = std::min(rest.find(' '), rest.size());
    words.push_back(rest.substr(0, blank));
    rest.remove_prefix(std::min(blank + 1, rest.size()));
  }
  if (!words.empty() && words[0] == "UNKNOWN") return header;
  if (words.size() != 5 || (words[0] != "TCP4" && words[0] != "TCP6")) return Malformed("an unknown line");
  const bool v6 = words[0] == "TCP6";
  PROV_RETURN_IF_ERROR(PeerOf(words[2], words[4], v6).status());
  PROV_ASSIGN_OR_RETURN(header.client, PeerOf(words[1], words[3], v6));
  return header;
}

uint16_t BigEndian16(std::string_view octets) {
  return static_cast<uint16_t>(static_cast<unsigned char>(octets[0]) << 8 |
                               static_cast<unsigned char>(octets[1]));
}

template <typename Address>
Peer PeerAt(std::string_view addresses, size_t port_at) {
  typename Address::bytes_type octets;
  std::copy_n(addresses.begin(), octets.size(), octets.begin());
  return {AddressText(Address(octets)), BigEndian16(addresses.substr(port_at))};
}

Result ParseV2(std::string_view input) {
  if (input.size() < kProxyV2FixedOctets) return std::nullopt;
  const auto command = static_cast<unsigned char>(input[12]), family = static_cast<unsigned char>(input[13]);
  const size_t length = BigEndian16(input.substr(14));
  if (command != kLocal && command != kProxy) return Malformed("an unknown command");
  if (kProxyV2FixedOctets + length > kMaxProxyV2Octets) return Malformed("it is too long");
  if (input.size() < kProxyV2FixedOctets + length) return std::nullopt;
  ProxyHeader header{kProxyV2FixedOctets + length, std::nullopt};
  if (command == kLocal) return header;
  const std::string_view addresses = input.substr(kProxyV2FixedOctets, length);
  if (family == kTcp4 && length >= kTcp4Octets) {
    header.client = PeerAt<asio::ip::address_v4>(addresses, 8);
  } else if (family == kTcp6 && length >= kTcp6Octets) {
    header.client = PeerAt<asio::ip::address_v6>(addresses, 32);
  } else {
    return Malformed("addresses that are not TCP's");
  }
  return header;
}

}  // namespace

Result ParseProxyHeader(std::string_view input) {
  if (MayBegin(input, kV2)) return input.size() < kV2.size() ? Result(std::nullopt) : ParseV2(input);
  if (MayBegin(input, kV1)) return input.size() < kV1.size() ? Result(std::nullopt) : ParseV1(input);
  return Malformed("it begins otherwise");
}

}  // namespace prov::net
