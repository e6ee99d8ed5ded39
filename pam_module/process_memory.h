// What a process remembers from one login to the next: which servers failed lately, and connections that wait
// for their next use.
//
// Connections are kept from a process's second login on: most programs that ask PAM do it once, and are left
// as they were found. A kept one is closed when nobody has used it for a while. After a fork the child has
// none: a connection has one owner.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "common/ldap/connection.h"
#include "pam_module/config.h"

namespace prov::pam {

// What a kept connection is good for: the same server, asked in the same way.
struct ConnectionUse {
  std::string uri, ca;
  bool starttls = false;
  std::chrono::milliseconds timeout{0};
  // As whom it is bound; empty: as anybody, to verify passwords with.
  std::string bind_dn, bind_password;
  bool operator==(const ConnectionUse&) const = default;
};

// Thread-safe, and usable in the child of a fork at any moment.
class ProcessMemory {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kKeptFor{30'000};
  static constexpr size_t kMostKept = 8;

  // The process's own. Lives for ever: threads may outlive static destruction.
  static ProcessMemory& Own();

  // Lives for ever, too.
  explicit ProcessMemory(std::chrono::milliseconds kept_for) : kept_for_(kept_for) {}
  ProcessMemory(const ProcessMemory&) = delete;
  ProcessMemory& operator=(const ProcessMemory&) = delete;

  bool IsDead(const std::string& uri);
  // Half of the rest is by chance, so that a server that comes back is not met by everybody at once.
  void Failed(const std::string& uri, std::chrono::milliseconds rest);
  void Answered(const std::string& uri);

  // Begins a login: whether connections are kept after it.
  bool BeginLogin();
  // Null: there is none.
  std::unique_ptr<ldap::Connection> Take(const ConnectionUse& use);
  void Keep(ConnectionUse use, std::unique_ptr<ldap::Connection> connection);

 private:
  struct Kept {
    ConnectionUse use;
    std::unique_ptr<ldap::Connection> connection;
    Clock::time_point until;
  };
  using KeptList = std::list<Kept>;  // the first to be closed comes first

  void ForkedChild();
  bool StartClosing();
  void CloseInTime();

  const std::chrono::milliseconds kept_for_;
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> dead_until_;
  std::minstd_rand random_{std::random_device{}()};
  bool logged_in_before_ = false;
  bool closing_ = false;  // its thread runs
  KeptList kept_;
  KeptList parents_;  // of the process that this one was forked from
};

}  // namespace prov::pam
