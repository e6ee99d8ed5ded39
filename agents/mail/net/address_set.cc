#include "agents/mail/net/address_set.h"

#include <fmt/format.h>

#include <asio/ip/address.hpp>
#include <charconv>
#include <optional>
#include <system_error>

#include "common/status.h"

namespace prov::net {
namespace {

// In network order; nothing when it is no address. IPv4 mapped into IPv6 is IPv4.
std::optional<std::vector<unsigned char>> Octets(std::string_view text) {
  std::error_code error;
  asio::ip::address address = asio::ip::make_address(std::string(text), error);
  if (error) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return std::vector<unsigned char>(bytes.begin(), bytes.end());
  }
  const auto bytes = address.to_v6().to_bytes();
  return std::vector<unsigned char>(bytes.begin(), bytes.end());
}

bool SamePrefix(const std::vector<unsigned char>& a, const std::vector<unsigned char>& b, int bits) {
  if (a.size() != b.size()) return false;
  for (int bit = 0; bit < bits; bit += 8) {
    const int here = std::min(8, bits - bit);
    const unsigned mask = (0xffU << (8 - here)) & 0xffU;
    if (((a[bit / 8] ^ b[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<AddressSet> AddressSet::Parse(const std::vector<std::string>& entries) {
  AddressSet set;
  for (const std::string& entry : entries) {
    const size_t slash = entry.find('/');
    const auto octets = Octets(std::string_view(entry).substr(0, slash));
    if (!octets) return absl::InvalidArgumentError(fmt::format("\"{}\" is no address or network", entry));
    Network network{*octets, static_cast<int>(octets->size() * 8)};
    if (slash != entry.npos) {
      const std::string_view digits = std::string_view(entry).substr(slash + 1);
      int bits = -1;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
      if (error != std::errc() || end != digits.data() + digits.size() || bits < 0 || bits > network.bits) {
        return absl::InvalidArgumentError(
            fmt::format("\"{}\": the prefix is no number up to {}", entry, network.bits));
      }
      network.bits = bits;
    }
    set.networks_.push_back(std::move(network));
  }
  return set;
}

bool AddressSet::Contains(std::string_view address) const {
  const auto octets = Octets(address);
  if (!octets) return false;
  for (const Network& network : networks_) {
    if (SamePrefix(network.octets, *octets, network.bits)) return true;
  }
  return false;
}

}  // namespace prov::net
