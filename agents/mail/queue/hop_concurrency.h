// How many deliveries at once a next hop gets: as many as go well. Pure.
#pragma once

#include <cstddef>

namespace prov::queue {

constexpr size_t kFirstConcurrency = 5;
constexpr size_t kMostConcurrency = 20;

class HopConcurrency {
 public:
  size_t limit() const { return limit_; }
  // A delivery came to an end in which the hop took part, while `busy` were under way, it among them: one
  // more when these were all that may be.
  void Succeeded(size_t busy);
  // The hop was not reached, or closed the connection with 421 (RFC 5321 section 3.8): half as many.
  void Failed();

 private:
  size_t limit_ = kFirstConcurrency;
};

}  // namespace prov::queue
