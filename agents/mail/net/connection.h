// One stream of octets to a peer, with a deadline on each operation, in clear or through TLS.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/mail/net/peer.h"

namespace prov::net {

class TlsParty;

constexpr size_t kMostReadOctets = 16 * 1024;  // what one Read returns at most

// What both ends of a TLS connection agreed on.
struct TlsFacts {
  std::string version;  // "TLSv1.3"
  std::string cipher;   // "TLS_AES_256_GCM_SHA384"
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

  // From here on all goes through TLS; the handshake takes `timeout` at most. Nothing may be under way, and
  // what was read before in clear is the caller's to forget (RFC 3207 section 4.2). `party` must outlive the
  // connection. After an error the connection is of no further use.
  virtual asio::awaitable<absl::Status> StartTls(const TlsParty& party,
                                                 std::chrono::milliseconds timeout) = 0;
  // Nothing while in clear.
  virtual std::optional<TlsFacts> tls() const = 0;

  // The program stops: reads that idle end.
  virtual void StopIdling() = 0;

  // At once; what waits ends in UNAVAILABLE. Harmless when repeated.
  virtual void Close() = 0;

  virtual const Peer& peer() const = 0;
};

}  // namespace prov::net
