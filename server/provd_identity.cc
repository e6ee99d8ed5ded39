#include "server/provd_identity.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

#include "common/certificate.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov {

std::map<std::string, api::Rate> RatesOf(const ProvdConfig::Limits& limits) {
  const std::chrono::duration<double> burst = limits.burst;
  std::map<std::string, api::Rate> rates;
  for (const auto& [role, per_second] : limits.per_second) {
    const auto rate = static_cast<double>(per_second);
    rates[role] = {.per_second = rate, .burst = rate * burst.count()};
  }
  return rates;
}

absl::StatusOr<std::optional<enrol::Authority>> LoadAuthority(const ProvdConfig::Enrolment& config) {
  if (config.ca_directory.empty()) return std::nullopt;
  PROV_ASSIGN_OR_RETURN(enrol::Authority authority, enrol::Authority::Load(config.ca_directory));
  return authority;
}

uint32_t PortOf(const std::string& listen) {
  uint32_t port = 0;
  const size_t colon = listen.rfind(':');
  if (colon != std::string::npos) std::from_chars(&listen[colon + 1], listen.data() + listen.size(), port);
  return port;
}

absl::Status CheckTls(const ProvdConfig::Tls& tls) {
  PROV_ASSIGN_OR_RETURN(const std::string certificate, ReadFile(tls.certificate, kMaxPemOctets));
  PROV_ASSIGN_OR_RETURN(const std::string key, ReadFile(tls.key, kMaxPemOctets));
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate));
  if (!IsCertificateOfKey(certificate, key)) {
    return absl::FailedPreconditionError(fmt::format("{} is not the key of {}", tls.key, tls.certificate));
  }
  const auto left = std::chrono::duration_cast<std::chrono::hours>(facts.not_after - SystemClock().Now());
  Log(left.count() > 0 ? Level::kInfo : Level::kError, "certificate",
      {{"file", tls.certificate}, {"serial", facts.serial}, {"hours_left", left.count()}});
  return absl::OkStatus();
}

}  // namespace prov
