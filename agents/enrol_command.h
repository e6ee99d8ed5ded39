// prov-agent enrol: from a token to a host that is ready.
#pragma once

#include <string>

#include "agents/config.h"

namespace prov {

struct EnrolArguments {
  std::string provd;  // host:port of enrolment
  std::string token_file = "-";
  bool start = false;  // the unit, and wait until it is ready
};

// The exit status; what went wrong is on standard error.
int RunEnrol(const AgentConfig& config, const EnrolArguments& arguments);

}  // namespace prov
