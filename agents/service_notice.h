// What the agent tells the service manager that started it (sd_notify(3)); nothing where there is none.
#pragma once

#include <chrono>
#include <string>

namespace prov {

// How long the service manager is to wait.
enum class Patience {
  kAsSet,     // as the unit says
  kExtended,  // longer: a first copy may take minutes, and provd may be away for hours
};

// Not thread-safe.
class ServiceNotice {
 public:
  // For people who ask for the unit's status, and so that it is not given up. To be called about once a
  // second.
  void TellWaiting(const std::string& for_what, Patience patience, std::chrono::steady_clock::time_point now);
  void TellReady();
  void TellStopping();

 private:
  std::string told_;
  std::chrono::steady_clock::time_point extend_at_;
};

}  // namespace prov
