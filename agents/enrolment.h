// How a host gets its first certificate: a one-time token against a certificate.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/config.h"

namespace prov {

constexpr size_t kMostTokenOctets = 256;

// "SECRET.FINGERPRINT": what provctl enrol-host shows.
struct EnrolmentTokenParts {
  std::string whole;
  std::string ca_fingerprint;  // SHA-256, lower-case hexadecimal
};
// Ignores blanks around it. INVALID_ARGUMENT for what cannot be a token; the error does not repeat it.
absl::StatusOr<EnrolmentTokenParts> ParseEnrolmentToken(std::string_view text);

// Fetches the CA's certificate from `provd` (host:port of enrolment), believes it if its fingerprint is the
// token's, then enrols over a connection that this CA vouches for, and writes the files that `config` names.
// May be repeated with the same token after a failure or a crash. Takes up to two minutes.
absl::Status Enrol(const AgentConfig& config, const std::string& provd, const EnrolmentTokenParts& token);

}  // namespace prov
