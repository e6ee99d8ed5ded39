// What provd.toml says of callers and certificates, as provd's parts take it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/rate_limit.h"
#include "server/config.h"
#include "server/enrol/authority.h"

namespace prov {

std::map<std::string, api::Rate> RatesOf(const ProvdConfig::Limits& limits);

// Nothing if this provd is to have none.
absl::StatusOr<std::optional<enrol::Authority>> LoadAuthority(const ProvdConfig::Enrolment& config);

// Of "host:port"; 0 if there is none.
uint32_t PortOf(const std::string& listen);

// The TLS files are watched anyway; here is told what is wrong with them, and logged until when they are
// good.
absl::Status CheckTls(const ProvdConfig::Tls& tls);

}  // namespace prov
