// This host's key and certificate on disk, changed so that a crash at any instant leaves a pair that belongs
// together.
//
// A new key lies beside the old one as KEY.next until its certificate is there. Not for two processes at
// once.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/config.h"
#include "common/certificate.h"

namespace prov {

// The key to ask a certificate for: that of an attempt which was cut off, so that it can be repeated, or a
// fresh one. It is on disk (mode 0600) when this returns.
absl::StatusOr<std::string> NextKey(const AgentConfig::Tls& files);

// Makes the next key and its certificate the host's own. FAILED_PRECONDITION if they do not belong together.
absl::Status AdoptCertificate(const AgentConfig::Tls& files, const std::string& certificate_pem);

// Completes an adoption that was cut off between its two steps. To be called before the files are used.
absl::Status FinishAdoption(const AgentConfig::Tls& files);

absl::StatusOr<CertificateFacts> ReadOwnCertificate(const AgentConfig::Tls& files);

}  // namespace prov
