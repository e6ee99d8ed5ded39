// A hosted domain.
#pragma once

#include <cstdint>
#include <string>

#include "server/model/lifecycle.h"
#include "server/model/subscriber.h"

namespace prov::model {

struct Domain {
  std::string name;  // A-labels, lower case
  SuspendedMail suspended_mail = SuspendedMail::kKeep;
  std::string alias_of;   // another domain's name, or empty
  std::string catch_all;  // an address, or empty
  Time create_time;
  Time update_time;
  uint64_t revision = 0;
};

}  // namespace prov::model
