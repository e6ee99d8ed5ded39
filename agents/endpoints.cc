#include "agents/endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/mail/net/host_port.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr int kFirstUnprivilegedPort = 1024;

using Service = std::pair<const char*, const std::vector<std::string>*>;

std::vector<Service> ServicesOf(const AgentConfig& config, v1::Role role) {
  const AgentConfig::Engine& engine = config.engine;
  switch (role) {
    case v1::RELAY:
      return {{"smtp", &engine.smtp.listen}};
    case v1::STORE:
      return {
          {"lmtp", &engine.lmtp.listen}, {"pop3", &engine.pop3.listen}, {"pop3s", &engine.pop3.tls_listen}};
    case v1::POP_PROXY:
      return {{"pop3_proxy", &engine.pop3_proxy.listen}, {"pop3s_proxy", &engine.pop3_proxy.tls_listen}};
    default:
      return {};
  }
}

// "host" and "port" of "host:port" or "[::1]:port".
std::pair<std::string_view, std::string_view> Split(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos) return {address, {}};
  std::string_view host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

bool IsEveryAddress(std::string_view host) {
  return host.empty() || host == "*" || host == "0.0.0.0" || host == "::";
}

bool IsLowPort(std::string_view port) {
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos) return false;
  return std::stoi(std::string(port)) < kFirstUnprivilegedPort;
}

}  // namespace

std::map<std::string, std::string> EndpointsOf(const AgentConfig& config, v1::Role role) {
  std::map<std::string, std::string> endpoints;
  const auto add = [&](const char* service, const std::string& listen) {
    const auto [host, port] = Split(listen);
    endpoints[service] = IsEveryAddress(host) ? config.host + ":" + std::string(port) : listen;
  };
  for (const auto& [service, listen] : ServicesOf(config, role)) {
    if (!listen->empty()) add(service, listen->front());
  }
  if (role == v1::STORE) {
    if (!config.store.transfer_listen.empty()) add("transfer", config.store.transfer_listen);
    for (const auto& [service, place] : config.store.served_at) endpoints[service] = place;
  }
  // Of the host rather than of a role: any of them tells it.
  if (!config.control_listen.empty()) add("control", config.control_listen);
  return endpoints;
}

bool HasQueue(const AgentConfig& config) {
  return std::any_of(config.roles.begin(), config.roles.end(), [&](v1::Role role) {
    const AgentConfig::Engine::Smtp& smtp = config.engine.smtp;
    return (role == v1::RELAY &&
            !(smtp.listen.empty() && smtp.submission_listen.empty() && smtp.submissions_listen.empty())) ||
           (role == v1::STORE && !config.engine.lmtp.listen.empty());
  });
}

bool NeedsEngine(const AgentConfig& config) {
  return std::any_of(config.roles.begin(), config.roles.end(), [&](v1::Role role) {
    const std::vector<Service> services = ServicesOf(config, role);
    return std::any_of(services.begin(), services.end(),
                       [](const Service& service) { return !service.second->empty(); });
  });
}

bool NeedsLowPorts(const AgentConfig& config) {
  for (const v1::Role role : config.roles) {
    for (const auto& [service, listen] : ServicesOf(config, role)) {
      for (const std::string& address : *listen) {
        if (IsLowPort(Split(address).second)) return true;
      }
    }
  }
  return false;
}

absl::Status CheckAddresses(const AgentConfig& config) {
  const AgentConfig::Engine& engine = config.engine;
  std::vector<std::pair<const char*, std::string>> addresses;
  for (const auto& [key, listen] :
       {std::pair{"engine.smtp.listen", &engine.smtp.listen},
        std::pair{"engine.lmtp.listen", &engine.lmtp.listen},
        std::pair{"engine.pop3.listen", &engine.pop3.listen},
        std::pair{"engine.pop3.tls_listen", &engine.pop3.tls_listen},
        std::pair{"engine.pop3_proxy.listen", &engine.pop3_proxy.listen},
        std::pair{"engine.pop3_proxy.tls_listen", &engine.pop3_proxy.tls_listen}}) {
    for (const std::string& address : *listen) addresses.emplace_back(key, address);
  }
  if (!config.store.transfer_listen.empty())
    addresses.emplace_back("store.transfer_listen", config.store.transfer_listen);
  for (const auto& [service, place] : config.store.served_at)
    addresses.emplace_back("store.served_at", place);
  if (!config.control_listen.empty()) addresses.emplace_back("control_listen", config.control_listen);
  if (!engine.smtp.smarthost.empty()) addresses.emplace_back("engine.smtp.smarthost", engine.smtp.smarthost);
  if (!engine.lmtp.forward_relay.empty())
    addresses.emplace_back("engine.lmtp.forward_relay", engine.lmtp.forward_relay);
  for (const auto& [key, address] : addresses) {
    PROV_RETURN_IF_ERROR(
        Annotate(net::ParseHostPort(address).status(), fmt::format("{}: {}", config.path, key)));
  }
  return absl::OkStatus();
}

}  // namespace prov
