// Clients for `./dev bench pop3`, on one epoll: what is measured must be the slow part.
//
//   pop3_load sessions --port P --login user{}@example.net --users 1000 --count 20000 --connections 20
//       sessions a second, each USER, PASS, STAT and QUIT over a connection of its own; their times
//   pop3_load hold --port P --login … --count 10000
//       that many sessions logged in at once, until standard input ends
//   pop3_load read --port P --login one@example.net [--retrieve]
//       seconds from the connection until PASS and UIDL are answered, and with --retrieve until all messages
//       are there
//
// The password is the first line of --password-file. Clients come from many addresses of 127.0.0.0/8, for
// servers limit what one may do. One JSON object on standard output.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Time = std::chrono::steady_clock;

constexpr int kSessionsOfAddress = 20;
constexpr int kMostErrorsShown = 3;
constexpr size_t kReadOctets = 256 * 1024;

struct Options {
  uint16_t port = 0;
  std::string login, password_file, password;
  int first = 0, users = 1, count = 1, connections = 20;
  bool retrieve = false;
};

double SecondsSince(Time::time_point begin) {
  return std::chrono::duration<double>(Time::now() - begin).count();
}

[[noreturn]] void Fail(std::string_view what) {
  fmt::print(stderr, "pop3_load: {}: {}\n", what, strerror(errno));
  exit(1);
}

sockaddr_in Loopback(uint32_t host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl((127u << 24) | host);
  address.sin_port = htons(port);
  return address;
}

// From an address of its own for every kSessionsOfAddress clients.
int Dial(uint16_t port, int client) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  const int yes = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  sockaddr_in from = Loopback(0x010001u + static_cast<uint32_t>(client / kSessionsOfAddress), 0);
  sockaddr_in to = Loopback(1, port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) Fail("bind");
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) Fail("connect");
  return fd;
}

std::string LoginOf(const Options& options, int number) {
  return fmt::format(fmt::runtime(options.login), options.first + number % options.users);
}

// What a client says after each of the server's answers.
enum class Stage { kGreeting, kUser, kPass, kStat, kQuit };

struct Client {
  int fd = -1;
  int number = 0;  // of the session
  Stage stage = Stage::kGreeting;
  std::string line;
  Time::time_point began;
};

class Clients {
 public:
  Clients(const Options& options, bool hold) : options_(options), hold_(hold), epoll_(epoll_create1(0)) {
    clients_.resize(static_cast<size_t>(hold ? options.count : options.connections));
  }

  nlohmann::json Run() {
    const auto begin = Time::now();
    // Those that hold log in a few at a time, as they would.
    const size_t at_once = std::min(clients_.size(), static_cast<size_t>(options_.connections));
    for (size_t i = 0; i < at_once; ++i) Begin(i);
    epoll_event events[256];
    while (ended_ < options_.count) {
      const int ready = epoll_wait(epoll_, events, std::size(events), -1);
      for (int i = 0; i < ready; ++i) OnReadable(events[i].data.u64);
    }
    return Report(SecondsSince(begin));
  }

 private:
  void Begin(size_t index) {
    if (begun_ >= options_.count) return;
    Client& client = clients_[index];
    client.number = begun_++;
    client.began = Time::now();
    client.stage = Stage::kGreeting;
    client.line.clear();
    client.fd = Dial(options_.port, hold_ ? client.number : static_cast<int>(index));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
  }

  void OnReadable(size_t index) {
    Client& client = clients_[index];
    char octets[4096];
    const ssize_t got = recv(client.fd, octets, sizeof octets, 0);
    if (got <= 0) return End(index, client.stage == Stage::kQuit ? "" : "the server closed the connection");
    client.line.append(octets, static_cast<size_t>(got));
    if (!client.line.ends_with('\n')) return;
    if (!client.line.starts_with("+OK")) return End(index, client.line);
    client.line.clear();
    switch (client.stage) {
      case Stage::kGreeting:
        return Say(client, Stage::kUser, "USER " + LoginOf(options_, client.number));
      case Stage::kUser:
        return Say(client, Stage::kPass, "PASS " + options_.password);
      case Stage::kPass:
        if (hold_) return Held();
        return Say(client, Stage::kStat, "STAT");
      case Stage::kStat:
        return Say(client, Stage::kQuit, "QUIT");
      case Stage::kQuit:
        return End(index, "");
    }
  }

  static void Say(Client& client, Stage stage, std::string line) {
    client.stage = stage;
    line += "\r\n";
    send(client.fd, line.data(), line.size(), MSG_NOSIGNAL);
  }

  void Held() {
    ++ended_;
    if (begun_ < options_.count) Begin(static_cast<size_t>(begun_));
  }

  void End(size_t index, std::string error) {
    Client& client = clients_[index];
    close(client.fd);
    client.fd = -1;
    ++ended_;
    if (error.empty()) {
      seconds_.push_back(SecondsSince(client.began));
    } else {
      ++failed_;
      if (errors_.size() < kMostErrorsShown) errors_.push_back(std::move(error));
    }
    if (!hold_) {
      Begin(index);
    } else if (begun_ < options_.count) {
      Begin(static_cast<size_t>(begun_));
    }
  }

  nlohmann::json Report(double seconds) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto in_seconds = [](timeval time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    nlohmann::json report = {{"sessions", ended_ - failed_},
                             {"failed", failed_},
                             {"errors", errors_},
                             {"seconds", seconds},
                             {"per_second", (ended_ - failed_) / seconds},
                             {"own_cpu_seconds", in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime)}};
    std::sort(seconds_.begin(), seconds_.end());
    if (!seconds_.empty()) {
      report["median_ms"] = 1000 * seconds_[seconds_.size() / 2];
      report["p99_ms"] = 1000 * seconds_[seconds_.size() * 99 / 100];
    }
    return report;
  }

  const Options& options_;
  const bool hold_;
  const int epoll_;
  std::vector<Client> clients_;
  std::vector<double> seconds_;
  std::vector<std::string> errors_;
  int begun_ = 0, ended_ = 0, failed_ = 0;
};

// One session that waits for each answer.
class Reader {
 public:
  explicit Reader(const Options& options) : fd_(Dial(options.port, 0)) { buffer_.resize(kReadOctets); }
  ~Reader() { close(fd_); }

  std::string Line() {
    for (;;) {
      const size_t end = pending_.find('\n');
      if (end != std::string::npos) {
        std::string line = pending_.substr(0, end + 1);
        pending_.erase(0, end + 1);
        if (!line.starts_with("+OK")) {
          fmt::print(stderr, "pop3_load: {}", line);
          exit(1);
        }
        return line;
      }
      Fill();
    }
  }

  // Octets of a multi-line answer behind its first line.
  size_t UpToDot() {
    size_t octets = 0;
    // The end may lie across two pieces.
    while (!pending_.ends_with("\r\n.\r\n") && pending_ != ".\r\n") {
      if (pending_.size() > kReadOctets) {
        octets += pending_.size() - 8;
        pending_.erase(0, pending_.size() - 8);
      }
      Fill();
    }
    octets += pending_.size();
    pending_.clear();
    return octets;
  }

  void Ask(std::string line) {
    line += "\r\n";
    if (send(fd_, line.data(), line.size(), MSG_NOSIGNAL) < 0) Fail("send");
  }

 private:
  void Fill() {
    const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) Fail("the server closed the connection");
    pending_.append(buffer_.data(), static_cast<size_t>(got));
  }

  const int fd_;
  std::string buffer_, pending_;
};

nlohmann::json Read(const Options& options) {
  const auto begin = Time::now();
  Reader reader(options);
  reader.Line();
  reader.Ask("USER " + LoginOf(options, 0));
  reader.Line();
  reader.Ask("PASS " + options.password);
  reader.Line();
  const double opened = SecondsSince(begin);
  reader.Ask("STAT");
  int messages = 0;
  const std::string stat = reader.Line();
  if (sscanf(stat.c_str(), "+OK %d", &messages) != 1) Fail("STAT");
  reader.Ask("UIDL");
  reader.Line();
  reader.UpToDot();
  nlohmann::json report = {
      {"messages", messages}, {"open_seconds", opened}, {"uidl_seconds", SecondsSince(begin)}};
  if (options.retrieve) {
    const auto start = Time::now();
    size_t octets = 0;
    for (int number = 1; number <= messages; ++number) {
      reader.Ask(fmt::format("RETR {}", number));
      reader.Line();
      octets += reader.UpToDot();
    }
    report["retrieve_seconds"] = SecondsSince(start);
    report["octets"] = octets;
  }
  reader.Ask("QUIT");
  reader.Line();
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Load for ./dev bench pop3");
  Options options;
  app.require_subcommand(1);
  CLI::App* sessions = app.add_subcommand("sessions", "sessions a second");
  CLI::App* hold = app.add_subcommand("hold", "sessions held at once");
  CLI::App* read = app.add_subcommand("read", "one session, timed");
  for (CLI::App* command : {sessions, hold, read}) {
    command->add_option("--port", options.port)->required();
    command->add_option("--login", options.login, "{} stands for the number")->required();
    command->add_option("--first", options.first, "number of the first login");
    command->add_option("--password-file", options.password_file)->required();
  }
  for (CLI::App* command : {sessions, hold}) {
    command->add_option("--users", options.users, "logins, used in turn")->check(CLI::Range(1, 1'000'000));
    command->add_option("--count", options.count)->check(CLI::Range(1, 100'000'000));
    command->add_option("--connections", options.connections, "under way at once")
        ->check(CLI::Range(1, 10'000));
  }
  read->add_flag("--retrieve", options.retrieve);
  CLI11_PARSE(app, argc, argv);
  std::ifstream file(options.password_file);
  if (!std::getline(file, options.password)) Fail(options.password_file);
  if (read->parsed()) {
    fmt::print("{}\n", Read(options).dump());
    return 0;
  }
  Clients clients(options, hold->parsed());
  fmt::print("{}\n", clients.Run().dump());
  fflush(stdout);
  if (hold->parsed()) {
    while (getchar() != EOF) continue;
  }
  return 0;
}
