#include "agents/mail/net/tcp_connection.h"

#include <fmt/format.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <system_error>
#include <utility>

namespace prov::net {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr size_t kWriteStepOctets = 64 * 1024;

// Shared with the timers' handlers, which may run once more after the connection is gone.
struct Stream {
  explicit Stream(tcp::socket connected) : socket(std::move(connected)) {}

  tcp::socket socket;
  bool stop_idling = false;
  bool idling = false;
};

// Cancels the stream's operations unless it is told in time that they are done.
class Deadline {
 public:
  Deadline(const std::shared_ptr<Stream>& stream, milliseconds timeout)
      : state_(std::make_shared<State>(stream)) {
    state_->timer.expires_after(timeout);
    state_->timer.async_wait([state = state_](const std::error_code& error) {
      if (error || state->done) return;
      state->expired = true;
      std::error_code ignored;
      state->stream->socket.cancel(ignored);
    });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() {
    state_->done = true;
    state_->timer.cancel();
  }
  bool expired() const { return state_->expired; }

 private:
  struct State {
    explicit State(const std::shared_ptr<Stream>& stream)
        : stream(stream), timer(stream->socket.get_executor()) {}
    std::shared_ptr<Stream> stream;
    asio::steady_timer timer;
    bool done = false;
    bool expired = false;
  };
  std::shared_ptr<State> state_;
};

class TcpConnection final : public Connection {
 public:
  TcpConnection(tcp::socket socket, Peer peer)
      : stream_(std::make_shared<Stream>(std::move(socket))), peer_(std::move(peer)) {}

  ~TcpConnection() override { Close(); }

  asio::awaitable<absl::StatusOr<std::string_view>> Read(milliseconds timeout) override {
    Deadline deadline(stream_, timeout);
    std::error_code error;
    const size_t got = co_await stream_->socket.async_read_some(
        asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return Translate(error, deadline.expired());
    co_return std::string_view(buffer_.data(), got);
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
      Deadline deadline(stream_, timeout);
      std::error_code error;
      const size_t wrote = co_await stream_->socket.async_write_some(
          asio::buffer(octets.data(), std::min(octets.size(), kWriteStepOctets)),
          asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return Translate(error, deadline.expired());
      octets.remove_prefix(wrote);
    }
    co_return absl::OkStatus();
  }

  void StopIdling() override {
    stream_->stop_idling = true;
    std::error_code ignored;
    if (stream_->idling) stream_->socket.cancel(ignored);
  }

  void Close() override {
    std::error_code ignored;
    stream_->socket.shutdown(tcp::socket::shutdown_both, ignored);
    stream_->socket.close(ignored);
  }

  const Peer& peer() const override { return peer_; }

 private:
  absl::Status Translate(const std::error_code& error, bool expired) const {
    if (error == asio::error::eof) return absl::OutOfRangeError("the peer closed the connection");
    if (expired) return absl::DeadlineExceededError(fmt::format("{} was silent too long", peer_.address));
    return absl::UnavailableError(fmt::format("connection with {}: {}", peer_.address, error.message()));
  }

  const std::shared_ptr<Stream> stream_;
  const Peer peer_;
  std::array<char, kMostReadOctets> buffer_;  // pages that nothing was read into cost nothing
};

}  // namespace

std::string AddressText(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

std::unique_ptr<Connection> MakeTcpConnection(tcp::socket socket) {
  std::error_code ignored;
  // Replies are small and are waited for.
  socket.set_option(tcp::no_delay(true), ignored);
  std::error_code error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  // A peer that is gone already shows at the first read.
  Peer peer;
  if (!error) peer = {AddressText(remote.address()), remote.port()};
  return std::make_unique<TcpConnection>(std::move(socket), std::move(peer));
}

}  // namespace prov::net
