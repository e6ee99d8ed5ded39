// The directory's servers: which comes first, and how one is reached.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ldap/connection.h"
#include "pam_module/config.h"
#include "pam_module/process_memory.h"

namespace prov::pam {

// As configured, but those that failed lately come last: with all of them dead, each is tried all the same.
std::vector<std::string> ServerOrder(const Config& config);

// A connection that verifies passwords.
ConnectionUse ServerUse(const Config& config, const std::string& uri);

// A new connection that ends by `deadline`, whatever happens; no single step takes more than a third of what
// is left. Not bound.
absl::StatusOr<std::unique_ptr<ldap::Connection>> OpenServer(const Config& config, const std::string& uri,
                                                             std::chrono::steady_clock::time_point deadline);

}  // namespace prov::pam
