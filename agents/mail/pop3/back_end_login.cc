#include "agents/mail/pop3/back_end_login.h"

#include <utility>

#include "agents/mail/pop3/limits.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

// RFC 2449 section 4 says 512 for a response; some say more in a greeting.
constexpr size_t kMaxReplyOctets = 1024;

// Reads one line; what came behind it stays in `buffer`.
asio::awaitable<absl::StatusOr<BackEndReply>> ReadReply(net::Connection& back_end, std::string& buffer) {
  size_t end = 0;
  while ((end = buffer.find('\n')) == std::string::npos) {
    if (buffer.size() > kMaxReplyOctets) co_return absl::UnavailableError("the back end's reply is too long");
    const auto octets = co_await back_end.Read(kBackEndReplyTime);
    if (!octets.ok()) co_return octets.status();
    buffer += *octets;
  }
  const std::string line = buffer.substr(0, end);
  buffer.erase(0, end + 1);
  BackEndReply reply;
  reply.accepted = line.starts_with("+OK");
  if (!reply.accepted && !line.starts_with("-ERR")) {
    co_return absl::UnavailableError("the back end does not speak POP3");
  }
  const size_t space = line.find(' ');
  if (space != std::string::npos) reply.words = line.substr(space + 1);
  co_return reply;
}

}  // namespace

asio::awaitable<absl::StatusOr<BackEndReply>> LogInAt(net::Connection& back_end, std::string login,
                                                      const auth::Secret& password, bool& password_sent) {
  password_sent = false;
  std::string buffer;
  absl::StatusOr<BackEndReply> reply = co_await ReadReply(back_end, buffer);
  if (reply.ok() && !reply->accepted) reply = absl::UnavailableError("the back end takes no sessions now");
  if (!reply.ok()) co_return reply;

  const std::string user = "USER " + login + "\r\n";
  absl::Status sent = co_await back_end.Write(user, kWriteTime);
  if (!sent.ok()) co_return sent;
  reply = co_await ReadReply(back_end, buffer);
  if (!reply.ok() || !reply->accepted) co_return reply;

  std::string pass("PASS ");
  pass.reserve(pass.size() + password.Reveal().size() + 2);  // growing would leave a copy behind
  pass += password.Reveal();
  pass += "\r\n";
  password_sent = true;
  sent = co_await back_end.Write(pass, kWriteTime);
  auth::Wipe(pass);
  if (!sent.ok()) co_return sent;
  reply = co_await ReadReply(back_end, buffer);
  if (reply.ok()) reply->rest = std::move(buffer);
  co_return reply;
}

}  // namespace prov::pop3
