#include "agents/mail/auth/login_metrics.h"

#include <prometheus/counter.h>

#include "common/metrics.h"

namespace prov::auth {

void CountLogin(const std::string& service, Outcome outcome, Cause cause) {
  static auto& logins = prometheus::BuildCounter()
                            .Name("prov_engine_logins_total")
                            .Help("Logins that have ended, by PAM service, outcome and cause")
                            .Register(*MetricsRegistry());
  logins
      .Add({{"service", service},
            {"outcome", std::string(OutcomeName(outcome))},
            {"cause", std::string(CauseName(cause))}})
      .Increment();
}

}  // namespace prov::auth
