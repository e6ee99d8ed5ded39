// Connecting within a time, and ending what takes longer. For this directory only.
//
// libldap over GnuTLS, as Debian builds it, tries a TLS handshake again and again without looking at its
// network time-out: a server that accepts and says nothing would hold its client for ever, at full load. So
// we open the socket ourselves, leave it blocking, and shut it down when time is up.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace prov::ldap {

struct Endpoint {
  enum class Scheme { kLdap, kLdaps, kLdapi };
  Scheme scheme = Scheme::kLdap;
  std::string host;  // or the path of the socket
  int port = 0;
};

absl::StatusOr<Endpoint> ParseUri(const std::string& uri);

// A connected, blocking socket whose single reads and writes take at most `operation_timeout`. The caller
// owns it. UNAVAILABLE says why none of the host's addresses answered within `connect_timeout`.
absl::StatusOr<int> OpenSocket(const Endpoint& endpoint, std::chrono::milliseconds connect_timeout,
                               std::chrono::milliseconds operation_timeout);

// Shuts a socket down when `timeout` has passed and it is still there; at once where no thread is to be had.
class SocketDeadline {
 public:
  SocketDeadline(int socket, std::chrono::milliseconds timeout);
  ~SocketDeadline();
  SocketDeadline(const SocketDeadline&) = delete;
  SocketDeadline& operator=(const SocketDeadline&) = delete;

 private:
  const int socket_;  // a duplicate: the number must stay ours
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace prov::ldap
