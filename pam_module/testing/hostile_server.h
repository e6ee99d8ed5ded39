// Directory servers that are none: silent ones, and such as say anything.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

namespace prov::pam {

// Listens, and never answers.
class SilentServer {
 public:
  SilentServer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 100), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { close(fd_); }
  std::string uri() const { return fmt::format("ldaps://127.0.0.1:{}", port_); }
  int Visits() const {
    int visits = 0;
    for (int one = accept(fd_, nullptr, nullptr); one >= 0; one = accept(fd_, nullptr, nullptr)) {
      close(one);
      ++visits;
    }
    return visits;
  }

 private:
  const int fd_;
  int port_ = 0;
};

// Serves one client after the other on a Unix socket, as `talk` likes; `talk` returns when the client does.
class TalkingServer {
 public:
  using Talk = std::function<void(int client)>;
  TalkingServer(std::string path, Talk talk)
      : path_(std::move(path)),
        talk_(std::move(talk)),
        fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        stop_(eventfd(0, EFD_CLOEXEC)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    unlink(path_.c_str());
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0) << path_;
    EXPECT_EQ(listen(fd_, 100), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TalkingServer() {
    eventfd_write(stop_, 1);
    thread_.join();
    close(fd_);
    close(stop_);
  }

  std::string ldapi() const {
    std::string escaped = "ldapi://";
    for (const char c : path_) escaped += c == '/' ? "%2F" : std::string(1, c);
    return escaped;
  }

  // Whether there is something to read, before the server ends or the client closes.
  static bool HasMore(int client) {
    pollfd one{client, POLLIN, 0};
    return poll(&one, 1, 30'000) > 0 && (one.revents & POLLIN) != 0;
  }

 private:
  void Serve() {
    for (;;) {
      pollfd ready[] = {{fd_, POLLIN, 0}, {stop_, POLLIN, 0}};
      if (poll(ready, 2, -1) < 0 || ready[1].revents != 0) return;
      const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      talk_(client);
      close(client);
    }
  }

  const std::string path_;
  const Talk talk_;
  const int fd_, stop_;
  std::thread thread_;
};

}  // namespace prov::pam
