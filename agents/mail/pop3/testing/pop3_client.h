// A plain client and a scripted server over real sockets, for tests of sessions.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace prov::pop3 {

// Blocks; gives up after half a minute, so that a test fails instead of hanging.
class TestStream {
 public:
  explicit TestStream(int fd) : fd_(fd) {}
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;
  ~TestStream() { Close(); }

  static int Dial(uint16_t port, int receive_buffer = 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  // Of this end.
  uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    return ntohs(address.sin_port);
  }

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // False when the peer is gone.
  bool Send(std::string_view octets) {
    while (!octets.empty()) {
      const ssize_t sent = send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      octets.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // With its CRLF; what there was before the end, if the peer ends first.
  std::string Line() {
    size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      if (!Fill()) return std::exchange(buffer_, std::string());
    }
    const std::string line = buffer_.substr(0, end + 1);
    buffer_.erase(0, end + 1);
    return line;
  }

  // All lines up to the one that is `.`, as they came.
  std::string UpToDot() {
    std::string all;
    for (;;) {
      const std::string line = Line();
      if (line.empty()) return all + "<end>";
      all += line;
      if (line == ".\r\n") return all;
    }
  }

  std::string Ask(std::string_view line) {
    Send(std::string(line) + "\r\n");
    return Line();
  }

  // Whatever comes until the peer closes.
  std::string UpToEnd() {
    while (Fill()) {
    }
    return std::exchange(buffer_, std::string());
  }

 private:
  bool Fill() {
    if (fd_ < 0) return false;
    pollfd entry{fd_, POLLIN, 0};
    if (poll(&entry, 1, 30'000) <= 0) {
      ADD_FAILURE() << "nothing came for half a minute";
      return false;
    }
    char octets[65536];
    const ssize_t got = recv(fd_, octets, sizeof octets, 0);
    if (got <= 0) return false;
    buffer_.append(octets, static_cast<size_t>(got));
    return true;
  }

  int fd_;
  std::string buffer_;
};

// Takes connections one after the other, and runs a script on each.
class TestServer {
 public:
  explicit TestServer(std::function<void(TestStream&)> script) : script_(std::move(script)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        ++sessions_;
        TestStream stream(fd);
        script_(stream);
      }
    });
  }
  ~TestServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  int sessions() const { return sessions_; }

 private:
  const std::function<void(TestStream&)> script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> sessions_ = 0;
  std::thread thread_;
};

}  // namespace prov::pop3
