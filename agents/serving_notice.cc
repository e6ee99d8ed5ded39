#include "agents/serving_notice.h"

namespace prov {

bool ServingNotice::IsWorthTelling(v1::Role role, const Serving& serving,
                                   std::chrono::steady_clock::time_point now) {
  Told& told = told_[role];
  if (told.serving == serving) return false;
  // A drain waits for the last session, a balancer for the first word that the host is ready.
  const bool urgent = serving.ready != told.serving.ready || serving.sessions.value_or(0) == 0 ||
                      told.serving.sessions.value_or(0) == 0;
  if (!urgent && now < told.when + kSessionsInterval) return false;
  told = {serving, now};
  return true;
}

}  // namespace prov
