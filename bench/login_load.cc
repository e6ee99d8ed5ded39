// First-time logins a second through PAM workers, or what the directory's binds alone would allow.
// bench/login.py and pop3.py run it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agents/mail/auth/worker_pool.h"
#include "common/ldap/connection.h"
#include "common/ldap/dn.h"

namespace prov {
namespace {

using std::chrono::steady_clock;

struct Options {
  std::string ldap_uri, base, worker_program, pam_directory, password, prefix;
  size_t logins = 1000;
  size_t connections = 4;
  int seconds = 10;
};

std::string LoginOf(const Options& options, size_t number) {
  return fmt::format("{}{}@example.net", options.prefix, number % options.logins);
}

// One thread a connection, each binding as one subscriber after the other; -1: one was refused.
double BindsPerSecond(const Options& options) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto end = steady_clock::now() + std::chrono::seconds(options.seconds);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < options.connections; ++i) {
    threads.emplace_back([&] {
      auto connection = ldap::Connection::Open({.uri = options.ldap_uri});
      failed = failed || !connection.ok();
      while (!failed && steady_clock::now() < end) {
        const std::string dn = ldap::ChildDn("uid", LoginOf(options, next++), "ou=people," + options.base);
        if (!(*connection)->Bind(dn, options.password).ok()) failed = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed ? -1 : static_cast<double>(next) / options.seconds;
}

// As many at once as there are workers.
double LoginsPerSecond(const Options& options) {
  auth::WorkerPool::Options pool_options;
  pool_options.program = options.worker_program;
  pool_options.config_directory = options.pam_directory;
  pool_options.workers = options.connections;
  const auto pool = auth::WorkerPool::Start(pool_options);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto end = steady_clock::now() + std::chrono::seconds(options.seconds);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < options.connections; ++i) {
    threads.emplace_back([&] {
      std::mutex mutex;
      std::condition_variable answered;
      while (!failed && steady_clock::now() < end) {
        bool done = false;
        pool->Submit({"prov-pop3", LoginOf(options, next++), auth::Secret(options.password), "127.0.0.1"},
                     [&](absl::StatusOr<auth::WorkerReply> reply) {
                       if (!reply.ok() || reply->verdict != auth::PamVerdict::kOk) failed = true;
                       const std::lock_guard lock(mutex);
                       done = true;
                       answered.notify_one();
                     });
        std::unique_lock lock(mutex);
        answered.wait(lock, [&] { return done; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed ? -1 : static_cast<double>(next) / options.seconds;
}

int Main(int argc, char** argv) {
  CLI::App app("login_load: logins a second.");
  Options options;
  std::string mode, password_file;
  app.add_option("mode", mode)->check(CLI::IsMember({"binds", "logins"}))->required();
  app.add_option("--ldap-uri", options.ldap_uri)->required();
  app.add_option("--base", options.base)->required();
  app.add_option("--worker-program", options.worker_program, "for logins");
  app.add_option("--pam-directory", options.pam_directory, "likewise");
  app.add_option("--password-file", password_file)->required();
  app.add_option("--prefix", options.prefix)->required();
  app.add_option("--logins", options.logins);
  app.add_option("--connections", options.connections);
  app.add_option("--seconds", options.seconds);
  CLI11_PARSE(app, argc, argv);
  std::ifstream file(password_file);
  std::getline(file, options.password);
  const double rate = mode == "binds" ? BindsPerSecond(options) : LoginsPerSecond(options);
  fmt::print("{:.1f}\n", rate);
  return rate < 0 ? 1 : 0;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
