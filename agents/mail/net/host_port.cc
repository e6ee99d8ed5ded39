#include "agents/mail/net/host_port.h"

#include <fmt/format.h>

#include <charconv>

namespace prov::net {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return absl::InvalidArgumentError(fmt::format("\"{}\" is not host:port", text));
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  HostPort result;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result.port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    return absl::InvalidArgumentError(fmt::format("\"{}\": the port is no number up to 65535", text));
  }
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return absl::InvalidArgumentError(fmt::format("\"{}\": write an IPv6 address as [address]:port", text));
  }
  result.host = host.empty() || host == "*" ? "0.0.0.0" : std::string(host);
  return result;
}

}  // namespace prov::net
