#include "agents/service_notice.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include "common/log.h"

namespace prov {
namespace {

// systemd gives up on a unit that is not ready in time: each word that we still wait buys as much again.
constexpr std::chrono::seconds kExtension{60};

}  // namespace

void ServiceNotice::TellWaiting(const std::string& for_what, Patience patience,
                                std::chrono::steady_clock::time_point now) {
  if (for_what != told_) {
    Log(Level::kDebug, "not_ready", {{"waits_for", for_what}});
    told_ = for_what;
    sd_notify(0, ("STATUS=" + for_what).c_str());
  }
  if (patience == Patience::kAsSet || now < extend_at_) return;
  extend_at_ = now + kExtension / 4;
  sd_notify(0, fmt::format("EXTEND_TIMEOUT_USEC={}", std::chrono::microseconds(kExtension).count()).c_str());
}

void ServiceNotice::TellReady() { sd_notify(0, "READY=1\nSTATUS=ready"); }

void ServiceNotice::TellStopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace prov
