#include "agents/mail/pop3/pop3_proxy.h"

#include <utility>

#include "agents/mail/pop3/proxy_session.h"

namespace prov::pop3 {
namespace {

// A coroutine of its own, for a lambda's captures are gone once it has returned: the frame keeps `context`.
asio::awaitable<void> Serve(std::shared_ptr<ProxyContext> context, std::unique_ptr<net::Connection> client) {
  co_await ServeProxySession(std::move(client), *context);
}

}  // namespace

absl::StatusOr<std::unique_ptr<net::Listener>> StartPop3Proxy(const net::Loops& loops,
                                                              Pop3ProxyOptions options,
                                                              state::StateReader& state,
                                                              auth::FailureDelay& delay) {
  net::ListenOptions listen;
  listen.address = options.address;
  listen.protocol = "pop3_proxy";
  listen.busy_reply = kBusyReply;
  listen.balancers = std::move(options.balancers);
  listen.takes_new = [&state, host = std::move(options.host)] {
    return state.TakesNewSessions(v1::POP_PROXY, host);
  };
  listen.elsewhere_reply = kDrainedReply;
  const char* service = options.back_end_tls == BackEndTls::kAlways ? "pop3s" : "pop3";
  const std::shared_ptr<ProxyContext> context(
      new ProxyContext{options.hostname + kProxyMark, options.times, options.tls, StoreChoice(state, service),
                       BackEnds(options.back_end_tls, options.verify, options.times.back_end_answer), delay});
  return net::Listener::Start(loops, std::move(listen), [context](std::unique_ptr<net::Connection> client) {
    return Serve(context, std::move(client));
  });
}

}  // namespace prov::pop3
