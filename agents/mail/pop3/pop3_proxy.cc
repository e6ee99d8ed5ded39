#include "agents/mail/pop3/pop3_proxy.h"

#include <utility>

#include "agents/mail/net/listener.h"
#include "agents/mail/pop3/proxy_session.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

class ListeningProxy : public Pop3Proxy {
 public:
  ListeningProxy(const AgentConfig& config, state::StateReader& state, const Clock& clock, SessionTimes times)
      : context_{config.engine.hostname,   state, clock, times, BackEnds(state, clock),
                 auth::FailureDelay(clock)} {}

  absl::Status Listen(const asio::any_io_executor& executor, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      net::ListenOptions options;
      options.address = address;
      options.protocol = "pop3-proxy";
      options.busy_reply = kBusyReply;
      PROV_ASSIGN_OR_RETURN(
          auto listener,
          net::Listener::Start(executor, std::move(options), [this](std::unique_ptr<net::Connection> client) {
            return ServeProxySession(std::move(client), context_);
          }));
      listeners_.push_back(std::move(listener));
    }
    return absl::OkStatus();
  }

  void Stop() override {
    for (const auto& listener : listeners_) listener->Stop();
  }
  void CloseAll() override {
    for (const auto& listener : listeners_) listener->CloseAll();
  }
  size_t sessions() const override {
    size_t all = 0;
    for (const auto& listener : listeners_) all += listener->sessions();
    return all;
  }
  std::vector<uint16_t> ports() const override {
    std::vector<uint16_t> ports;
    for (const auto& listener : listeners_) ports.push_back(listener->port());
    return ports;
  }

 private:
  ProxyContext context_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pop3Proxy>> Pop3Proxy::Start(const asio::any_io_executor& executor,
                                                            const AgentConfig& config,
                                                            state::StateReader& state, const Clock& clock,
                                                            SessionTimes times) {
  auto proxy = std::make_unique<ListeningProxy>(config, state, clock, times);
  PROV_RETURN_IF_ERROR(proxy->Listen(executor, config.engine.pop3_proxy.listen));
  return proxy;
}

}  // namespace prov::pop3
