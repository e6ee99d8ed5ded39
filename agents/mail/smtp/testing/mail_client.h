// A plain client and a scripted server over real sockets, for tests of sessions.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

namespace prov::smtp {

// Blocks; gives up after half a minute, so that a test fails instead of hanging.
class MailClient {
 public:
  explicit MailClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  // Takes a connection that was accepted.
  static MailClient Adopt(int fd) { return MailClient(fd, true); }
  MailClient(MailClient&& other) noexcept : fd_(other.fd_), connected_(other.connected_) { other.fd_ = -1; }
  ~MailClient() { Close(); }

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }

  // False when the peer is gone.
  bool Send(std::string_view octets) {
    while (!octets.empty()) {
      const ssize_t sent = send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      octets.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // One line without CRLF; empty when the peer is gone.
  std::string Line() {
    size_t end = 0;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (!Fill()) return "";
    }
    const std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return line;
  }
  // A reply's last line.
  std::string Reply() {
    for (;;) {
      const std::string line = Line();
      if (line.size() < 4 || line[3] != '-') return line;
    }
  }
  std::string Ask(std::string_view command) {
    Send(std::string(command) + "\r\n");
    return Reply();
  }
  // The last reply of several commands.
  std::string AskAll(const std::vector<std::string>& commands) {
    std::string reply;
    for (const std::string& command : commands) reply = Ask(command);
    return reply;
  }
  // Text up to the line that is a dot.
  std::string UpToDot() {
    std::string text;
    for (;;) {
      const std::string line = Line();
      if (line == "." || (line.empty() && ended_)) return text;
      text += line + "\r\n";
    }
  }

 private:
  MailClient(int fd, bool connected) : fd_(fd), connected_(connected) {}

  bool Fill() {
    pollfd entry{fd_, POLLIN, 0};
    char octets[65536];
    if (poll(&entry, 1, 30'000) <= 0) {
      ADD_FAILURE() << "nothing came for half a minute";
      ended_ = true;
      return false;
    }
    const ssize_t got = recv(fd_, octets, sizeof octets, 0);
    if (got <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(octets, static_cast<size_t>(got));
    return true;
  }

  int fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace prov::smtp
