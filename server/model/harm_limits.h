// How much one caller may take away before an operator is asked.
#pragma once

#include <chrono>
#include <cstdint>

namespace prov::model {

// Suspensions, closings and purges of subscribers within the window: the greater of the two.
struct HarmLimits {
  int64_t changes = 1000;
  int64_t percent = 5;  // of all subscribers, by the database's estimate
  std::chrono::seconds window = std::chrono::minutes(10);
};

}  // namespace prov::model
