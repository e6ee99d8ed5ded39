// Load for `./dev bench provision`: creates subscribers through the API, and times a new one's way to its
// first POP3 login.
//
//   provision_load --config provctl.toml create --count 1000 --callers 32 --prefix a
//       rate of CreateSubscriber, and of everything following
//   provision_load --config provctl.toml login --count 200 --prefix b --pop3 127.0.0.1:2110
//       milliseconds from the call to the first +OK after PASS
//
// One JSON object on standard output.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/config.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "common/status.h"
#include "prov/v1/operations.grpc.pb.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kDomain[] = "example.net";
constexpr char kPassword[] = "vioBn4Aw-plinth-Rook";
// Any valid hash: the bulk is not to measure how long hashing takes.
constexpr char kHash[] =
    "{CRYPT}$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"
    "jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const std::string& config) {
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(config));
  const std::string server = reader.RequiredString("server");
  const TlsFiles files{reader.RequiredPath("ca"), reader.RequiredPath("certificate"),
                       reader.RequiredPath("key")};
  PROV_RETURN_IF_ERROR(reader.Finish());
  PROV_ASSIGN_OR_RETURN(auto credentials, ClientTls(files));
  return grpc::CreateChannel(server, credentials);
}

v1::CreateSubscriberRequest Request(const std::string& prefix, int number) {
  v1::CreateSubscriberRequest request;
  request.mutable_subscriber()->set_login(fmt::format("{}{}@{}", prefix, number, kDomain));
  request.mutable_subscriber()->set_display_name(fmt::format("Bench {} {}", prefix, number));
  request.mutable_subscriber()->mutable_entitlements()->set_mail(true);
  request.mutable_subscriber()->mutable_entitlements()->set_ftp(true);
  request.set_request_id(fmt::format("bench-{}-{}", prefix, number));
  return request;
}

absl::Status Create(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix, int count,
                    int callers) {
  std::atomic<int> next{0};
  std::atomic<uint64_t> last_revision{0};
  std::mutex mutex;
  std::vector<double> latencies;
  absl::Status failure;
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&] {
      auto stub = v1::Subscribers::NewStub(channel);
      std::vector<double> mine;
      for (int number; (number = next++) < count;) {
        v1::CreateSubscriberRequest request = Request(prefix, number);
        request.set_password_hash(kHash);
        v1::Subscriber created;
        grpc::ClientContext context;
        const auto called = Clock::now();
        const grpc::Status status = stub->CreateSubscriber(&context, request, &created);
        if (!status.ok()) {
          std::lock_guard lock(mutex);
          failure = FromGrpcStatus(status);
          return;
        }
        mine.push_back(Milliseconds(Clock::now() - called));
        for (uint64_t seen = last_revision; seen < created.revision();) {
          if (last_revision.compare_exchange_weak(seen, created.revision())) break;
        }
      }
      std::lock_guard lock(mutex);
      latencies.insert(latencies.end(), mine.begin(), mine.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  PROV_RETURN_IF_ERROR(failure);
  const double added = Milliseconds(Clock::now() - start) / 1000;

  // Then directory and every agent.
  auto operations = v1::Operations::NewStub(channel);
  grpc::ClientContext context;
  v1::WaitForRevisionRequest wait;
  wait.set_revision(last_revision);
  auto stream = operations->WaitForRevision(&context, wait);
  v1::RevisionProgress progress;
  bool converged = false;
  while (stream->Read(&progress)) converged = progress.converged();
  const grpc::Status status = stream->Finish();
  if (!status.ok() || !converged) return Annotate(FromGrpcStatus(status), "not converged");
  const double followed = Milliseconds(Clock::now() - start) / 1000;
  std::sort(latencies.begin(), latencies.end());
  nlohmann::json result = {{"count", count},
                           {"callers", callers},
                           {"adds_per_second", count / added},
                           {"converged_per_second", count / followed},
                           {"p50_ms", latencies[latencies.size() / 2]},
                           {"p99_ms", latencies[latencies.size() * 99 / 100]}};
  fmt::print("{}\n", result.dump());
  return absl::OkStatus();
}

// One line from a socket, without CRLF; empty at the end of the stream.
std::string ReadLine(int fd) {
  std::string line;
  for (char c; read(fd, &c, 1) == 1 && c != '\n';) {
    if (c != '\r') line += c;
  }
  return line;
}

bool LogIn(const sockaddr_in& address, const std::string& login) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  if (!ReadLine(fd.get()).starts_with("+OK")) return false;
  for (const std::string& command :
       {fmt::format("USER {}\r\n", login), fmt::format("PASS {}\r\n", kPassword)}) {
    if (!WriteAll(fd.get(), command).ok() || !ReadLine(fd.get()).starts_with("+OK")) return false;
  }
  return WriteAll(fd.get(), "QUIT\r\n").ok();
}

// Whether all that a POP3 login needs has the subscriber.
bool MayLogIn(const v1::RevisionProgress& progress) {
  bool directory = false, store = false;
  for (const v1::FollowerProgress& follower : progress.followers()) {
    const bool wanted =
        follower.name() == "directory" || follower.role() == v1::STORE || follower.role() == v1::POP_PROXY;
    if (wanted && follower.state() != v1::FollowerProgress::CURRENT) return false;
    directory = directory || follower.name() == "directory";
    store = store || follower.role() == v1::STORE;
  }
  return progress.converged() || (directory && store);
}

absl::Status Login(const std::shared_ptr<grpc::Channel>& channel, const std::string& prefix, int count,
                   const std::string& pop3) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = pop3.rfind(':');
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(pop3.substr(colon + 1))));
  if (inet_pton(AF_INET, pop3.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return InvalidField("--pop3", "must be an IPv4 address and a port");
  }
  auto stub = v1::Subscribers::NewStub(channel);
  std::vector<double> latencies;
  for (int number = 0; number < count; ++number) {
    v1::CreateSubscriberRequest request = Request(prefix, number);
    request.set_password(kPassword);
    v1::Subscriber created;
    grpc::ClientContext context;
    const auto called = Clock::now();
    if (const grpc::Status status = stub->CreateSubscriber(&context, request, &created); !status.ok()) {
      return FromGrpcStatus(status);
    }
    // A subscriber logs in when it is told that the account is there, not before: a refused attempt would
    // only measure the delay after failed logins. Directory, store and POP3 proxy having it is what "told"
    // means.
    auto operations = v1::Operations::NewStub(channel);
    grpc::ClientContext wait_context;
    v1::WaitForRevisionRequest wait;
    wait.set_revision(created.revision());
    auto stream = operations->WaitForRevision(&wait_context, wait);
    v1::RevisionProgress progress;
    while (stream->Read(&progress) && !MayLogIn(progress)) {
    }
    wait_context.TryCancel();
    (void)stream->Finish();  // cancelled, or at its end
    if (!MayLogIn(progress)) return absl::UnavailableError("directory and stores do not follow");
    if (!LogIn(address, created.login())) return absl::InternalError(created.login() + " cannot log in");
    latencies.push_back(Milliseconds(Clock::now() - called));
  }
  std::sort(latencies.begin(), latencies.end());
  nlohmann::json result = {{"count", count},
                           {"p50_ms", latencies[latencies.size() / 2]},
                           {"p99_ms", latencies[latencies.size() * 99 / 100]},
                           {"max_ms", latencies.back()}};
  fmt::print("{}\n", result.dump());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Load for ./dev bench provision");
  std::string config, prefix = "bench", pop3;
  int count = 1000, callers = 32;
  app.add_option("--config", config, "provctl.toml")->required();
  app.require_subcommand(1);
  CLI::App* create = app.add_subcommand("create", "rate of CreateSubscriber, then of everything following");
  create->add_option("--callers", callers)->check(CLI::Range(1, 256));
  CLI::App* login = app.add_subcommand("login", "from CreateSubscriber to the first POP3 login");
  login->add_option("--pop3", pop3, "host:port")->required();
  for (CLI::App* command : {create, login}) {
    command->add_option("--count", count)->check(CLI::Range(1, 10'000'000));
    command->add_option("--prefix", prefix, "of the logins; new for each run");
  }
  CLI11_PARSE(app, argc, argv);
  auto channel = Connect(config);
  absl::Status status = channel.status();
  if (status.ok())
    status =
        create->parsed() ? Create(*channel, prefix, count, callers) : Login(*channel, prefix, count, pop3);
  if (status.ok()) return 0;
  fmt::print(stderr, "provision_load: {}\n", status.ToString());
  return 1;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
