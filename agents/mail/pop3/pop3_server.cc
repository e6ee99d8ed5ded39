#include "agents/mail/pop3/pop3_server.h"

#include <utility>

#include "agents/mail/net/listener.h"
#include "agents/mail/pop3/session.h"
#include "common/status.h"

namespace prov::pop3 {
namespace {

class ListeningServer : public Pop3Server {
 public:
  explicit ListeningServer(SessionContext context) : context_(std::move(context)) {}

  absl::Status Listen(const asio::any_io_executor& executor, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      net::ListenOptions options;
      options.address = address;
      options.protocol = "pop3";
      options.busy_reply = kBusyReply;
      PROV_ASSIGN_OR_RETURN(auto listener,
                            net::Listener::Start(executor, std::move(options),
                                                 [this](std::unique_ptr<net::Connection> connection) {
                                                   return ServeSession(std::move(connection), context_);
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
  const SessionContext context_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pop3Server>> Pop3Server::Start(const asio::any_io_executor& executor,
                                                              const AgentConfig& config,
                                                              net::BlockingPool& blocking,
                                                              auth::Authenticator& authenticator,
                                                              SessionTimes times) {
  auto server = std::make_unique<ListeningServer>(
      SessionContext{config.engine.hostname, config.store.maildir_root, blocking, authenticator, times});
  PROV_RETURN_IF_ERROR(server->Listen(executor, config.engine.pop3.listen));
  return server;
}

}  // namespace prov::pop3
