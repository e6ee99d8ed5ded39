// Tells when a write has become visible, in this provd or another one on the same database.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace prov::store {

// Thread-safe.
class RevisionWatch {
 public:
  virtual ~RevisionWatch() = default;

  // Newest revision heard of; may lag behind the database by a moment, never lead it.
  virtual uint64_t head() const = 0;

  // Blocks until head() > `revision`, `timeout` has passed, or Stop. Returns head().
  virtual uint64_t WaitBeyond(uint64_t revision, std::chrono::milliseconds timeout) = 0;

  // Calls `listener` with each new head, from the watch's own thread; it must be quick. Returns an id.
  virtual uint64_t Subscribe(std::function<void(uint64_t)> listener) = 0;
  // After it returns the listener is not running and not called again. Not from within a listener.
  virtual void Unsubscribe(uint64_t id) = 0;
};

}  // namespace prov::store
