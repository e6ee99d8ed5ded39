#include "agents/mail/pop3/back_end.h"

#include <fmt/format.h>

#include <utility>

#include "agents/mail/auth/secret.h"
#include "agents/mail/net/connector.h"
#include "agents/mail/pop3/limits.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

constexpr size_t kMaxReplyOctets = 1024;

// A reply line and what came behind it.
struct Reply {
  bool ok = false;
  std::string words;
  std::string rest;
};

asio::awaitable<absl::StatusOr<Reply>> ReadReply(net::Connection& connection, std::string pending) {
  for (;;) {
    if (const size_t end = pending.find('\n'); end != std::string::npos) {
      std::string line = pending.substr(0, end);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      const bool ok = line == "+OK" || line.starts_with("+OK ");
      if (!ok && line != "-ERR" && !line.starts_with("-ERR ")) {
        co_return absl::UnavailableError("the store's answer is not POP3");
      }
      const size_t space = line.find(' ');
      co_return Reply{ok, space == std::string::npos ? "" : line.substr(space + 1), pending.substr(end + 1)};
    }
    if (pending.size() > kMaxReplyOctets) co_return absl::UnavailableError("the store's answer has no end");
    const auto octets = co_await connection.Read(kBackEndPatience);
    if (!octets.ok()) co_return absl::UnavailableError(std::string(octets.status().message()));
    pending.append(*octets);
  }
}

// Sends one command and reads its reply. Nothing may have come before it.
asio::awaitable<absl::StatusOr<Reply>> Command(net::Connection& connection, const std::string& line) {
  if (const absl::Status status = co_await connection.Write(line, kWritePatience); !status.ok()) {
    co_return absl::UnavailableError(std::string(status.message()));
  }
  co_return co_await ReadReply(connection, "");
}

}  // namespace

asio::awaitable<absl::StatusOr<BackEndLogin>> LogInAtBackEnd(std::string endpoint, std::string_view login,
                                                             std::string_view password) {
  auto connected = co_await net::Connect(std::move(endpoint), kConnectPatience);
  if (!connected.ok()) co_return connected.status();
  net::Connection& connection = **connected;
  const auto greeting = co_await ReadReply(connection, "");
  if (!greeting.ok()) co_return greeting.status();
  if (!greeting->ok) co_return absl::UnavailableError("the store takes no sessions now: " + greeting->words);
  const auto user = co_await Command(connection, fmt::format("USER {}\r\n", login));
  if (!user.ok()) co_return user.status();
  if (!user->ok) co_return BackEndLogin{nullptr, user->words, ""};
  std::string line = fmt::format("PASS {}\r\n", password);
  const auto pass = co_await Command(connection, line);
  auth::Wipe(line);
  if (!pass.ok()) co_return pass.status();
  if (!pass->ok) co_return BackEndLogin{nullptr, pass->words, ""};
  co_return BackEndLogin{*std::move(connected), pass->words, pass->rest};
}

}  // namespace prov::pop3
