#include "agents/mail/pop3/pop3_server.h"

#include <utility>

#include "agents/mail/net/in_turn.h"
#include "agents/mail/pop3/session.h"

namespace prov::pop3 {
namespace {

// A coroutine of its own, for a lambda's captures are gone once it has returned: the frame keeps `context`.
asio::awaitable<void> Serve(std::shared_ptr<const SessionContext> context,
                            std::unique_ptr<net::Connection> connection) {
  co_await ServeSession(std::move(connection), *context);
}

}  // namespace

absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Server(const net::Loops& loops,
                                                               Pop3ServerOptions options,
                                                               auth::Authenticator& authenticator,
                                                               maildir::ListingMemory& listings,
                                                               net::BlockingPool& pool) {
  net::ListenOptions listen;
  listen.address = options.address;
  listen.protocol = "pop3";
  // A proxy in front of us brings everybody from one address.
  listen.most_per_address = listen.most_connections;
  listen.busy_reply = kBusyReply;
  listen.balancers = std::move(options.balancers);
  // Said in the greeting, it sends a proxy to the next clone; after the password it could not.
  listen.takes_new = [&pool] { return pool.Waiting() < net::kTurnPatience; };
  listen.elsewhere_reply = kCutOffReply;
  const auto context = std::make_shared<const SessionContext>(SessionContext{
      std::move(options.hostname), std::move(options.maildir_root), pool, authenticator, listings,
      options.times, options.tls, std::move(options.terms), std::move(options.xclient)});
  return net::Listener::Start(loops, std::move(listen),
                              [context](std::unique_ptr<net::Connection> connection) {
                                return Serve(context, std::move(connection));
                              });
}

}  // namespace prov::pop3
