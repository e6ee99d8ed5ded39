// How logins end, counted by service and cause, for Prometheus.
#pragma once

#include <string>

#include "agents/mail/auth/verdict.h"

namespace prov::auth {

// prov_engine_logins_total. Thread-safe. `service` is one of ours, never a client's word.
void CountLogin(const std::string& service, Outcome outcome, Cause cause);

}  // namespace prov::auth
