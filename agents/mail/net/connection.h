// One stream of octets to a peer, with a deadline on each operation. Hides what carries it (TCP today).
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::net {

constexpr size_t kMostReadOctets = 16 * 1024;  // what one Read returns at most

struct Peer {
  std::string address;  // "192.0.2.1", "2001:db8::1"; an IPv4 address mapped into IPv6 is given as IPv4
  uint16_t port = 0;
};

// Belongs to one event loop and is used on its thread alone. One read and one write may be under way at the
// same time. After an error the connection is of no further use, but for a last Write after kCancelled.
// Errors: OUT_OF_RANGE, the peer closed; DEADLINE_EXCEEDED; CANCELLED, see ReadIdle; UNAVAILABLE, the rest.
class Connection {
 public:
  virtual ~Connection() = default;

  // Waits for octets and returns what came, at least one. The view lives until the next read.
  virtual asio::awaitable<absl::StatusOr<std::string_view>> Read(std::chrono::milliseconds timeout) = 0;

  // The same where the session may be ended without harm, between commands: CANCELLED once StopIdling was
  // called, before or meanwhile.
  virtual asio::awaitable<absl::StatusOr<std::string_view>> ReadIdle(std::chrono::milliseconds timeout) = 0;

  // All of `octets`, which must stay as they are until it returns. `timeout` is for each step of at most
  // 64 KiB, so that a slow peer gets a long message, and one that never reads does not hold us.
  virtual asio::awaitable<absl::Status> Write(std::string_view octets, std::chrono::milliseconds timeout) = 0;

  // The program stops: reads that idle end.
  virtual void StopIdling() = 0;

  // At once; what waits ends in UNAVAILABLE. Harmless when repeated.
  virtual void Close() = 0;

  virtual const Peer& peer() const = 0;
};

}  // namespace prov::net
