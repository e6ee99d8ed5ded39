// A store that lets everybody in, and has no mail: what is left is the cost of the proxy in front of it.
//
//   pop3_stub PORT
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

namespace {

[[noreturn]] void Fail(std::string_view what) {
  fmt::print(stderr, "pop3_stub: {}: {}\n", what, strerror(errno));
  exit(1);
}

// Answers whole lines; nobody waits for it.
[[noreturn]] void Serve(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Fail("bind");
  if (listen(listener, 4096) != 0) Fail("listen");
  const int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  epoll_event events[256];
  for (;;) {
    const int ready = epoll_wait(epoll, events, std::size(events), -1);
    for (int i = 0; i < ready; ++i) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) continue;
        event.data.fd = fd;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        send(fd, "+OK ready\r\n", 11, MSG_NOSIGNAL);
        continue;
      }
      char octets[4096];
      const ssize_t got = recv(fd, octets, sizeof octets, 0);
      if (got <= 0) {
        close(fd);
        continue;
      }
      const std::string_view said(octets, static_cast<size_t>(got));
      std::string answer;
      const auto lines = std::count(said.begin(), said.end(), '\n');
      for (auto line = lines; line > 0; --line) answer += "+OK 0 0\r\n";
      if (said.starts_with("CAPA")) answer = "+OK\r\nUSER\r\nPIPELINING\r\n.\r\n";
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (said.find("QUIT") != said.npos) close(fd);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Fail("usage: pop3_stub PORT");
  Serve(static_cast<uint16_t>(atoi(argv[1])));
}
