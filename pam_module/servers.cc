#include "pam_module/servers.h"

#include <algorithm>

namespace prov::pam {

std::vector<std::string> ServerOrder(const Config& config) {
  std::vector<std::string> order = config.uris;
  std::stable_partition(order.begin(), order.end(),
                        [](const std::string& uri) { return !ProcessMemory::Own().IsDead(uri); });
  return order;
}

ConnectionUse ServerUse(const Config& config, const std::string& uri) {
  ConnectionUse use;
  use.uri = uri;
  use.ca = config.ca;
  use.starttls = config.starttls && uri.starts_with("ldap://");
  use.timeout = config.timeout;
  return use;
}

absl::StatusOr<std::unique_ptr<ldap::Connection>> OpenServer(const Config& config, const std::string& uri,
                                                             std::chrono::steady_clock::time_point deadline) {
  using std::chrono::milliseconds;
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return absl::DeadlineExceededError("time is up");
  const ConnectionUse use = ServerUse(config, uri);
  ldap::ConnectOptions options;
  options.uri = use.uri;
  options.ca = use.ca;
  options.starttls = use.starttls;
  // Connection, search and bind: each may take a third of what is left, so that another server gets its turn.
  options.connect_timeout = std::max(left / 3, milliseconds(1));
  options.operation_timeout = options.connect_timeout;
  absl::StatusOr<std::unique_ptr<ldap::Connection>> opened = ldap::Connection::Open(options);
  if (opened.ok()) (*opened)->EndBy(deadline);
  return opened;
}

}  // namespace prov::pam
