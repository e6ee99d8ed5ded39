#include "agents/mail/queue/hop_concurrency.h"

#include <algorithm>

namespace prov::queue {

void HopConcurrency::Succeeded(size_t busy) {
  if (busy >= limit_) limit_ = std::min(limit_ + 1, kMostConcurrency);
}

void HopConcurrency::Failed() { limit_ = std::max<size_t>(limit_ / 2, 1); }

}  // namespace prov::queue
