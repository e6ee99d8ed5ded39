// What the directory itself can verify: simple binds a second as different subscribers, over kept
// connections, one for each thread. A login can cost no less.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/ldap/connection.h"
#include "common/ldap/dn.h"
#include "common/status.h"

namespace prov::bench {
namespace {

struct Options {
  std::string uri, base, login, password_file;
  int users = 1, threads = 4;
};

absl::Status BindAll(const Options& options, const std::string& password, std::atomic<int>& next) {
  PROV_ASSIGN_OR_RETURN(const auto connection, ldap::Connection::Open({.uri = options.uri}));
  for (int number = next++; number < options.users; number = next++) {
    const std::string login = fmt::format(fmt::runtime(options.login), number);
    PROV_RETURN_IF_ERROR(
        connection->Bind(ldap::ChildDn("uid", login, "ou=people," + options.base), password));
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  std::ifstream file(options.password_file);
  std::string password;
  std::getline(file, password);
  std::atomic<int> next = 0;
  std::vector<absl::Status> ends(static_cast<size_t>(options.threads));
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (absl::Status& end : ends) threads.emplace_back([&] { end = BindAll(options, password, next); });
  }
  for (const absl::Status& end : ends) PROV_RETURN_IF_ERROR(end);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  fmt::print("{{\"per_second\": {}}}\n", options.users / seconds.count());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("Binds a second, for ./dev bench pop3");
  Options options;
  app.add_option("--uri", options.uri)->required();
  app.add_option("--base", options.base)->required();
  app.add_option("--login", options.login, "{} stands for the number")->required();
  app.add_option("--password-file", options.password_file)->required();
  app.add_option("--users", options.users)->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(options);
  if (!status.ok()) fmt::print(stderr, "ldap_binds: {}\n", status.ToString());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace prov::bench

int main(int argc, char** argv) { return prov::bench::Main(argc, argv); }
