#include "agents/mail/net/tcp_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "agents/mail/net/tls_party.h"
#include "common/openssl_handles.h"
#include "common/status.h"

namespace prov::net {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kWriteStepOctets = 64 * 1024;
// Room for a command in each connection: to wait for one takes no buffer, and to get it one system call.
constexpr size_t kSmallReadOctets = 512;

// Shared with the timers' handlers, which may run once more after the connection is gone.
struct Stream {
  explicit Stream(tcp::socket connected) : socket(std::move(connected)) {}

  tcp::socket socket;
  bool stop_idling = false;
  bool idling = false;
};

// When the operation under way in one direction is to be done. Its timer is left running while operations
// come and go, and looks when it rings: most are done within microseconds, and setting a timer costs as much.
class Patience : public std::enable_shared_from_this<Patience> {
 public:
  explicit Patience(std::shared_ptr<Stream> stream)
      : stream_(std::move(stream)), timer_(stream_->socket.get_executor()) {}

  // An operation begins; when it is not done in time, the stream's operations are cancelled.
  void Begin(milliseconds timeout) {
    due_ = steady_clock::now() + timeout;
    under_way_ = true;
    expired_ = false;
    if (!rings_ || due_ < *rings_) RingAt(due_);
  }
  void Done() { under_way_ = false; }
  // Whether the last one was cancelled by this.
  bool expired() const { return expired_; }

  // The connection is closed.
  void End() {
    rings_.reset();
    timer_.cancel();
  }

 private:
  void RingAt(steady_clock::time_point when) {
    rings_ = when;
    timer_.expires_at(when);
    timer_.async_wait([self = shared_from_this(), when](const std::error_code& error) {
      // Another time was set after this one was on its way.
      if (!error && self->rings_ == when) self->Ring();
    });
  }

  void Ring() {
    rings_.reset();
    if (!under_way_) return;
    if (steady_clock::now() < due_) return RingAt(due_);
    expired_ = true;
    std::error_code ignored;
    stream_->socket.cancel(ignored);
  }

  const std::shared_ptr<Stream> stream_;
  asio::steady_timer timer_;
  steady_clock::time_point due_;
  std::optional<steady_clock::time_point> rings_;
  bool under_way_ = false, expired_ = false;
};

// Of one operation.
class Deadline {
 public:
  // `patience` is made when it is needed first.
  Deadline(std::shared_ptr<Patience>& patience, const std::shared_ptr<Stream>& stream, milliseconds timeout) {
    if (!patience) patience = std::make_shared<Patience>(stream);
    patience_ = patience;
    patience_->Begin(timeout);
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { patience_->Done(); }
  bool expired() const { return patience_->expired(); }

 private:
  std::shared_ptr<Patience> patience_;
};

// One attempt at reading or writing: octets that went through, or what to wait for, or why not.
struct Attempt {
  size_t octets = 0;
  std::optional<tcp::socket::wait_type> wait;
  std::error_code error;
};

// What OpenSSL says of a call that did not go through.
Attempt Unfinished(const SSL* ssl, int result) {
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
      return {.wait = tcp::socket::wait_read};
    case SSL_ERROR_WANT_WRITE:
      return {.wait = tcp::socket::wait_write};
    case SSL_ERROR_ZERO_RETURN:
      return {.error = asio::error::eof};
    case SSL_ERROR_SYSCALL:
      return {.error = errno != 0 ? std::error_code(errno, std::system_category())
                                  : std::error_code(asio::error::eof)};
    default:
      return {.error = std::make_error_code(std::errc::protocol_error)};
  }
}

// OpenSSL's queue of errors is the thread's, and others share the thread.
template <typename Call>
Attempt Through(SSL* ssl, Call call) {
  ERR_clear_error();
  errno = 0;
  const int result = call(ssl);
  return result > 0 ? Attempt{.octets = static_cast<size_t>(result)} : Unfinished(ssl, result);
}

class TcpConnection final : public Connection {
 public:
  TcpConnection(tcp::socket socket, Peer peer)
      : stream_(std::make_shared<Stream>(std::move(socket))), peer_(std::move(peer)) {}

  ~TcpConnection() override { Close(); }

  asio::awaitable<absl::StatusOr<std::string_view>> Read(milliseconds timeout) override {
    return ssl_ ? ReadThroughTls(timeout) : ReadInClear(timeout);
  }

  asio::awaitable<absl::StatusOr<std::string_view>> ReadIdle(milliseconds timeout) override {
    if (stream_->stop_idling) co_return absl::CancelledError("the program stops");
    stream_->idling = true;
    absl::StatusOr<std::string_view> got = co_await Read(timeout);
    stream_->idling = false;
    if (!got.ok() && stream_->stop_idling && absl::IsUnavailable(got.status())) {
      co_return absl::CancelledError("the program stops");
    }
    co_return got;
  }

  asio::awaitable<absl::Status> Write(std::string_view octets, milliseconds timeout) override {
    while (!octets.empty()) {
      const Attempt attempt = WriteNow(octets.substr(0, kWriteStepOctets));
      octets.remove_prefix(attempt.octets);
      if (attempt.error) co_return Translate(attempt.error, false);
      if (!attempt.wait) continue;
      const Deadline deadline(write_patience_, stream_, timeout);
      const std::error_code error = co_await Wait(*attempt.wait);
      if (error) co_return Translate(error, deadline.expired());
    }
    co_return absl::OkStatus();
  }

  asio::awaitable<absl::Status> StartTls(const TlsParty& party, milliseconds timeout) override {
    absl::StatusOr<openssl::Ssl> ssl = party.Begin();
    if (!ssl.ok()) co_return ssl.status();
    SSL_set_fd(ssl->get(), stream_->socket.native_handle());
    const Deadline deadline(read_patience_, stream_, timeout);
    for (;;) {
      const Attempt attempt = Through(ssl->get(), SSL_do_handshake);
      if (attempt.octets > 0) break;
      std::error_code error = attempt.error;
      if (attempt.wait) error = co_await Wait(*attempt.wait);
      if (error == std::errc::protocol_error) {
        co_return absl::UnavailableError(
            fmt::format("TLS with {}: {}", peer_.address, MessageOf(openssl::Error("handshake"))));
      }
      if (error) co_return Translate(error, deadline.expired());
    }
    ssl_ = *std::move(ssl);
    co_return absl::OkStatus();
  }

  std::optional<TlsFacts> tls() const override {
    if (!ssl_) return std::nullopt;
    return TlsFacts{SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get())};
  }

  void StopIdling() override {
    stream_->stop_idling = true;
    std::error_code ignored;
    if (stream_->idling) stream_->socket.cancel(ignored);
  }

  void Close() override {
    if (!stream_->socket.is_open()) return;
    if (ssl_) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());  // whether the peer hears it changes nothing
    }
    for (const auto& patience : {read_patience_, write_patience_}) {
      if (patience) patience->End();
    }
    std::error_code ignored;
    stream_->socket.close(ignored);
  }

  const Peer& peer() const override { return peer_; }

 private:
  asio::awaitable<absl::StatusOr<std::string_view>> ReadThroughTls(milliseconds timeout) {
    std::optional<Deadline> deadline;
    for (;;) {
      MakeBuffer();
      const Attempt attempt =
          Through(ssl_.get(), [this](SSL* ssl) { return SSL_read(ssl, buffer_.get(), kMostReadOctets); });
      if (attempt.octets > 0) co_return std::string_view(buffer_.get(), attempt.octets);
      if (attempt.error) co_return Translate(attempt.error, false);
      buffer_.reset();  // of ten thousand that wait none has one
      if (!deadline) deadline.emplace(read_patience_, stream_, timeout);
      const std::error_code error = co_await Wait(*attempt.wait);
      if (error) co_return Translate(error, deadline->expired());
    }
  }

  // Who speaks has mostly said all when it comes: only what filled the room for it is followed by a try for
  // more.
  asio::awaitable<absl::StatusOr<std::string_view>> ReadInClear(milliseconds timeout) {
    if (more_) {
      const Attempt attempt = ReadMoreNow(0);
      if (attempt.octets > 0) co_return std::string_view(buffer_.get(), attempt.octets);
      if (attempt.error) co_return Translate(attempt.error, false);
    }
    buffer_.reset();
    const Deadline deadline(read_patience_, stream_, timeout);
    std::error_code error;
    const size_t octets = co_await stream_->socket.async_receive(
        asio::buffer(small_), asio::redirect_error(asio::use_awaitable, error));
    // A handler that was on its way already when the socket was closed.
    if (!error && !stream_->socket.is_open()) error = asio::error::operation_aborted;
    if (error) co_return Translate(error, deadline.expired());
    if (octets < small_.size()) co_return std::string_view(small_.data(), octets);
    MakeBuffer();
    std::copy(small_.begin(), small_.end(), buffer_.get());
    // An error shows again at the next read.
    co_return std::string_view(buffer_.get(), octets + ReadMoreNow(octets).octets);
  }

  // Into the buffer, behind its first octets.
  Attempt ReadMoreNow(size_t behind) {
    MakeBuffer();
    const size_t room = kMostReadOctets - behind;
    Attempt attempt;
    attempt.octets = stream_->socket.read_some(asio::buffer(buffer_.get() + behind, room), attempt.error);
    more_ = attempt.octets == room;
    return InClear(attempt, tcp::socket::wait_read);
  }

  void MakeBuffer() {
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kMostReadOctets);
  }

  Attempt WriteNow(std::string_view octets) {
    if (ssl_) {
      return Through(ssl_.get(), [octets](SSL* ssl) {
        return SSL_write(ssl, octets.data(), static_cast<int>(octets.size()));
      });
    }
    Attempt attempt;
    attempt.octets = stream_->socket.write_some(asio::buffer(octets.data(), octets.size()), attempt.error);
    return InClear(attempt, tcp::socket::wait_write);
  }

  static Attempt InClear(Attempt attempt, tcp::socket::wait_type wait) {
    if (attempt.error != asio::error::would_block && attempt.error != asio::error::try_again) return attempt;
    return {.wait = wait};
  }

  asio::awaitable<std::error_code> Wait(tcp::socket::wait_type what) {
    std::error_code error;
    co_await stream_->socket.async_wait(what, asio::redirect_error(asio::use_awaitable, error));
    // A handler that was on its way already when the socket was closed.
    if (!error && !stream_->socket.is_open()) error = asio::error::operation_aborted;
    co_return error;
  }

  absl::Status Translate(const std::error_code& error, bool expired) const {
    if (error == asio::error::eof) return absl::OutOfRangeError("the peer closed the connection");
    if (expired) return absl::DeadlineExceededError(fmt::format("{} was silent too long", peer_.address));
    return absl::UnavailableError(fmt::format("connection with {}: {}", peer_.address, error.message()));
  }

  const std::shared_ptr<Stream> stream_;
  std::shared_ptr<Patience> read_patience_, write_patience_;  // once something had to wait
  const Peer peer_;
  openssl::Ssl ssl_;
  std::unique_ptr<char[]> buffer_;  // while there is something in it
  std::array<char, kSmallReadOctets> small_;
  bool more_ = false;  // the last read left no room; there may be more
};

}  // namespace

Peer RemoteOf(const tcp::socket& socket) {
  std::error_code error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  return error ? Peer() : Peer{AddressText(remote.address()), remote.port()};
}

std::unique_ptr<Connection> MakeTcpConnection(tcp::socket socket, Peer peer) {
  std::error_code ignored;
  socket.non_blocking(true, ignored);
  // Replies are small and are waited for.
  socket.set_option(tcp::no_delay(true), ignored);
  return std::make_unique<TcpConnection>(std::move(socket), std::move(peer));
}

}  // namespace prov::net
