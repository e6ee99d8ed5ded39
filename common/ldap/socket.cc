#include "common/ldap/socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ldap.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "common/ldap/host_lookup.h"
#include "common/ldap/quiet_thread.h"

namespace prov::ldap {
namespace {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds kBacklogPoll{10};  // a unix socket whose backlog is full cannot be polled

int MillisecondsUntil(Time deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

// 0, or errno.
int ConnectBy(int fd, const sockaddr* address, socklen_t size, Time deadline) {
  for (;;) {
    if (connect(fd, address, size) == 0 || errno == EISCONN) return 0;
    if (errno == EINTR || errno == EINPROGRESS || errno == EALREADY) break;
    if (errno != EAGAIN) return errno;
    if (MillisecondsUntil(deadline) == 0) return ETIMEDOUT;
    poll(nullptr, 0, static_cast<int>(kBacklogPoll.count()));
  }
  for (;;) {
    pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
    const int ready = poll(&waiting, 1, MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return errno;
    if (ready == 0) return ETIMEDOUT;
    int error = 0;
    socklen_t length = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
  }
}

int Configure(int fd, milliseconds operation_timeout) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) return errno;
  const timeval limit{.tv_sec = operation_timeout.count() / 1000,
                      .tv_usec = (operation_timeout.count() % 1000) * 1000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
    return errno;
  }
  const int on = 1;  // not for unix sockets, which refuse them without harm
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  return 0;
}

absl::StatusOr<int> TryAddress(int family, const sockaddr* address, socklen_t size, Time deadline,
                               milliseconds operation_timeout, const std::string& what) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = fd < 0 ? errno : ConnectBy(fd, address, size, deadline);
  if (error == 0) error = Configure(fd, operation_timeout);
  if (error == 0) return fd;
  if (fd >= 0) close(fd);
  return absl::UnavailableError(
      fmt::format("connecting to {}: {}", what, std::system_category().message(error)));
}

absl::StatusOr<int> OpenUnix(const std::string& path, Time deadline, milliseconds operation_timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("socket path {} is longer than {} octets", path, sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  return TryAddress(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof(address), deadline,
                    operation_timeout, path);
}

}  // namespace

absl::StatusOr<Endpoint> ParseUri(const std::string& uri) {
  LDAPURLDesc* parsed = nullptr;
  if (ldap_url_parse(uri.c_str(), &parsed) != LDAP_URL_SUCCESS) {
    return absl::InvalidArgumentError(fmt::format("LDAP URI {:?}: is not well formed", uri));
  }
  const std::unique_ptr<LDAPURLDesc, void (*)(LDAPURLDesc*)> owner(parsed, ldap_free_urldesc);
  Endpoint endpoint;
  const std::string scheme = parsed->lud_scheme;
  endpoint.scheme = scheme == "ldapi"   ? Endpoint::Scheme::kLdapi
                    : scheme == "ldaps" ? Endpoint::Scheme::kLdaps
                                        : Endpoint::Scheme::kLdap;
  endpoint.host = parsed->lud_host != nullptr ? parsed->lud_host : "";
  endpoint.port = parsed->lud_port;
  if (endpoint.host.empty()) {
    return absl::InvalidArgumentError(fmt::format("LDAP URI {:?}: names no server", uri));
  }
  return endpoint;
}

absl::StatusOr<int> OpenSocket(const Endpoint& endpoint, milliseconds connect_timeout,
                               milliseconds operation_timeout) {
  const Time deadline = std::chrono::steady_clock::now() + connect_timeout;
  if (endpoint.scheme == Endpoint::Scheme::kLdapi) {
    return OpenUnix(endpoint.host, deadline, operation_timeout);
  }
  const std::string port = std::to_string(endpoint.port);
  const absl::StatusOr<Addresses> found = LookUp(endpoint.host, port, deadline);
  if (!found.ok()) return found.status();
  absl::Status last = absl::UnavailableError("no address");
  for (const addrinfo* one = found->get(); one != nullptr; one = one->ai_next) {
    absl::StatusOr<int> fd = TryAddress(one->ai_family, one->ai_addr, one->ai_addrlen, deadline,
                                        operation_timeout, endpoint.host + ":" + port);
    if (fd.ok()) return fd;
    last = fd.status();
  }
  return last;
}

SocketDeadline::SocketDeadline(int socket, milliseconds timeout)
    : socket_(fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
  try {
    thread_ = QuietThread([this, deadline = std::chrono::steady_clock::now() + timeout] {
      std::unique_lock lock(mutex_);
      if (!changed_.wait_until(lock, deadline, [this] { return done_; })) shutdown(socket_, SHUT_RDWR);
    });
  } catch (const std::system_error&) {
    // The program may have no more threads: rather no connection than one without an end.
    shutdown(socket_, SHUT_RDWR);
  }
}

SocketDeadline::~SocketDeadline() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (socket_ >= 0) close(socket_);
}

}  // namespace prov::ldap
