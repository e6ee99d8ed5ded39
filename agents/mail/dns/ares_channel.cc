#include "agents/mail/dns/ares_channel.h"

#include <ares.h>
#include <ares_nameser.h>
#include <fmt/format.h>
#include <sys/time.h>

#include <algorithm>
#include <asio/ip/address.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "agents/mail/dns/resolver.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/net/host_port.h"
#include "common/status.h"

namespace prov::dns {
namespace {

using Answer = AresChannel::Answer;
using Done = std::function<void(Answer)>;
using asio::posix::stream_descriptor;

absl::Status AresStatus(int status, const char* what) {
  return absl::InternalError(fmt::format("{}: {}", what, ares_strerror(status)));
}

void OnAnswer(void* argument, int status, int, unsigned char* message, int octets) {
  const std::unique_ptr<Done> done(static_cast<Done*>(argument));
  Answer answer{status, {}};
  if (message != nullptr && octets > 0) answer.message.assign(reinterpret_cast<const char*>(message), octets);
  (*done)(std::move(answer));
}

absl::StatusOr<ares_addr_port_node> ServerOf(const std::string& text) {
  PROV_ASSIGN_OR_RETURN(const net::HostPort host_port, net::ParseHostPort(text));
  std::error_code error;
  const asio::ip::address address = asio::ip::make_address(host_port.host, error);
  if (error) return absl::InvalidArgumentError(fmt::format("\"{}\": a resolver is given by address", text));
  ares_addr_port_node node{};
  node.family = address.is_v6() ? AF_INET6 : AF_INET;
  if (address.is_v6()) {
    memcpy(&node.addr.addr6, address.to_v6().to_bytes().data(), sizeof node.addr.addr6);
  } else {
    memcpy(&node.addr.addr4, address.to_v4().to_bytes().data(), sizeof node.addr.addr4);
  }
  node.udp_port = node.tcp_port = host_port.port;
  return node;
}

}  // namespace

// Shared with the handlers that wait, which may run once more after the channel is gone.
class AresChannel::Loop : public std::enable_shared_from_this<Loop> {
 public:
  explicit Loop(asio::any_io_executor executor) : executor_(std::move(executor)), timer_(executor_) {}

  absl::Status Open(const std::vector<std::string>& servers) {
    static const int library = ares_library_init(ARES_LIB_INIT_ALL);
    if (library != ARES_SUCCESS) return AresStatus(library, "ares_library_init");
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
    options.timeout = static_cast<int>(kAnswerPatience.count());
    options.tries = kTries;
    options.sock_state_cb = &OnSocket;
    options.sock_state_cb_data = this;
    const int opened = ares_init_options(
        &channel_, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (opened != ARES_SUCCESS) return AresStatus(opened, "ares_init_options");
    return servers.empty() ? absl::OkStatus() : SetServers(servers);
  }

  void Close() {
    if (channel_ == nullptr) return;
    ares_destroy(std::exchange(channel_, nullptr));
    timer_.cancel();
  }

  void Ask(const std::string& name, int type, Done done) {
    ares_query(channel_, name.c_str(), ns_c_in, type, &OnAnswer, new Done(std::move(done)));
    SetTimer();
  }

 private:
  // One of c-ares's sockets, which c-ares closes.
  struct Watch {
    Watch(const asio::any_io_executor& executor, ares_socket_t socket) : descriptor(executor, socket) {}
    stream_descriptor descriptor;
    bool open = true;
    bool wants_read = false, wants_write = false;
    bool waits_read = false, waits_write = false;
  };

  absl::Status SetServers(const std::vector<std::string>& texts) {
    std::vector<ares_addr_port_node> servers;
    for (const std::string& text : texts) {
      PROV_ASSIGN_OR_RETURN(const ares_addr_port_node server, ServerOf(text));
      if (servers.size() < kMostServers) servers.push_back(server);
    }
    for (size_t i = 1; i < servers.size(); ++i) servers[i - 1].next = &servers[i];
    const int set = ares_set_servers_ports(channel_, servers.data());
    return set == ARES_SUCCESS ? absl::OkStatus() : AresStatus(set, "ares_set_servers_ports");
  }

  static void OnSocket(void* self, ares_socket_t socket, int readable, int writable) {
    static_cast<Loop*>(self)->Watches(socket, readable != 0, writable != 0);
  }

  void Watches(ares_socket_t socket, bool readable, bool writable) {
    auto found = watches_.find(socket);
    if (!readable && !writable) {
      if (found == watches_.end()) return;
      found->second->open = false;
      found->second->descriptor.release();
      watches_.erase(found);
      return;
    }
    if (found == watches_.end()) {
      found = watches_.emplace(socket, std::make_shared<Watch>(executor_, socket)).first;
    }
    found->second->wants_read = readable;
    found->second->wants_write = writable;
    Wait(found->second, socket);
  }

  void Wait(const std::shared_ptr<Watch>& watch, ares_socket_t socket) {
    if (watch->wants_read && !std::exchange(watch->waits_read, true)) {
      watch->descriptor.async_wait(stream_descriptor::wait_read,
                                   [self = shared_from_this(), watch, socket](const std::error_code& error) {
                                     watch->waits_read = false;
                                     if (!error) self->Process(watch, socket, ARES_SOCKET_BAD);
                                   });
    }
    if (watch->wants_write && !std::exchange(watch->waits_write, true)) {
      watch->descriptor.async_wait(stream_descriptor::wait_write,
                                   [self = shared_from_this(), watch, socket](const std::error_code& error) {
                                     watch->waits_write = false;
                                     if (!error) self->Process(watch, ARES_SOCKET_BAD, socket);
                                   });
    }
  }

  void Process(const std::shared_ptr<Watch>& watch, ares_socket_t readable, ares_socket_t writable) {
    if (!watch->open || channel_ == nullptr) return;
    ares_process_fd(channel_, readable, writable);
    if (watch->open) Wait(watch, readable != ARES_SOCKET_BAD ? readable : writable);
    SetTimer();
  }

  // For the next question whose server is silent too long.
  void SetTimer() {
    timeval left{};
    if (ares_timeout(channel_, nullptr, &left) == nullptr) {
      timer_.cancel();
      return;
    }
    timer_.expires_after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
                         std::chrono::milliseconds(1));
    timer_.async_wait([self = shared_from_this()](const std::error_code& error) {
      if (error || self->channel_ == nullptr) return;
      ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      self->SetTimer();
    });
  }

  const asio::any_io_executor executor_;
  asio::steady_timer timer_;
  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::shared_ptr<Watch>> watches_;
};

AresChannel::AresChannel(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}

AresChannel::~AresChannel() { loop_->Close(); }

absl::StatusOr<std::unique_ptr<AresChannel>> AresChannel::Open(asio::any_io_executor executor,
                                                               const std::vector<std::string>& servers) {
  std::unique_ptr<AresChannel> channel(new AresChannel(std::make_shared<Loop>(std::move(executor))));
  PROV_RETURN_IF_ERROR(channel->loop_->Open(servers));
  return channel;
}

asio::awaitable<Answer> AresChannel::Ask(std::string name, int type) {
  co_return co_await net::FromCallback<Answer>(
      [this, &name, type](Done done) { loop_->Ask(name, type, std::move(done)); });
}

}  // namespace prov::dns
