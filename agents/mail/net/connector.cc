#include "agents/mail/net/connector.h"

#include <fmt/format.h>

#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "agents/mail/net/host_port.h"
#include "agents/mail/net/tcp_connection.h"
#include "common/status.h"

namespace prov::net {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

asio::awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> Resolve(HostPort host_port) {
  std::vector<tcp::endpoint> endpoints;
  std::error_code error;
  const asio::ip::address literal = asio::ip::make_address(host_port.host, error);
  if (!error) {
    endpoints.emplace_back(literal, host_port.port);
    co_return endpoints;
  }
  tcp::resolver resolver(co_await asio::this_coro::executor);
  const std::string service = std::to_string(host_port.port);
  const auto found = co_await resolver.async_resolve(host_port.host, service,
                                                     asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    co_return absl::UnavailableError(fmt::format("{}: no address: {}", host_port.host, error.message()));
  }
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

asio::awaitable<std::error_code> ConnectWithin(std::shared_ptr<tcp::socket> socket, tcp::endpoint endpoint,
                                               Clock::time_point deadline) {
  asio::steady_timer timer(socket->get_executor());
  const auto done = std::make_shared<bool>(false);
  timer.expires_at(deadline);
  timer.async_wait([socket, done](const std::error_code& error) {
    std::error_code ignored;
    if (!error && !*done) socket->close(ignored);
  });
  std::error_code error;
  co_await socket->async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  *done = true;
  if (!error && !socket->is_open()) error = asio::error::timed_out;
  co_return error;
}

}  // namespace

asio::awaitable<absl::StatusOr<std::unique_ptr<Connection>>> Connect(std::string host_port,
                                                                     std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  absl::StatusOr<HostPort> parsed = ParseHostPort(host_port);
  if (!parsed.ok()) co_return parsed.status();
  absl::StatusOr<std::vector<tcp::endpoint>> endpoints = co_await Resolve(*std::move(parsed));
  if (!endpoints.ok()) co_return endpoints.status();
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  absl::Status last = absl::UnavailableError(fmt::format("{}: no address", host_port));
  for (const tcp::endpoint& endpoint : *endpoints) {
    auto socket = std::make_shared<tcp::socket>(executor);
    const std::error_code error = co_await ConnectWithin(socket, endpoint, deadline);
    if (!error) {
      Peer peer = RemoteOf(*socket);
      co_return MakeTcpConnection(std::move(*socket), std::move(peer));
    }
    if (Clock::now() >= deadline) {
      co_return absl::DeadlineExceededError(fmt::format("{} did not answer in time", host_port));
    }
    last = absl::UnavailableError(fmt::format("cannot connect to {}: {}", host_port, error.message()));
  }
  co_return last;
}

}  // namespace prov::net
