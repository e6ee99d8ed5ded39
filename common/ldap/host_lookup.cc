#include "common/ldap/host_lookup.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include "common/ldap/quiet_thread.h"

namespace prov::ldap {
namespace {

constexpr int kMostAtOnce = 16;
std::atomic<int> under_way = 0;

// Shared by who asks and who looks up: either may be the last.
struct Question {
  std::mutex mutex;
  std::condition_variable answered;
  bool done = false;
  int error = 0;
  Addresses found;
};

int Ask(const std::string& host, const std::string& port, int flags, Addresses& addresses) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error == 0) addresses.reset(found);
  return error;
}

absl::Status Failed(const std::string& host, std::string_view why) {
  return absl::UnavailableError(fmt::format("looking {} up: {}", host, why));
}

}  // namespace

absl::StatusOr<Addresses> LookUp(const std::string& host, const std::string& port,
                                 std::chrono::steady_clock::time_point deadline) {
  Addresses numeric;
  if (Ask(host, port, AI_NUMERICHOST | AI_NUMERICSERV, numeric) == 0) return numeric;
  if (++under_way > kMostAtOnce) {
    --under_way;
    return Failed(host, "too many look-ups wait for an answer");
  }
  const auto question = std::make_shared<Question>();
  try {
    QuietThread([question, host, port] {
      Addresses found;
      const int error = Ask(host, port, AI_ADDRCONFIG, found);
      {
        const std::lock_guard lock(question->mutex);
        question->error = error;
        question->found = std::move(found);
        question->done = true;
      }
      question->answered.notify_all();
      --under_way;
    }).detach();
  } catch (const std::system_error& error) {
    --under_way;
    return Failed(host, error.what());
  }
  std::unique_lock lock(question->mutex);
  if (!question->answered.wait_until(lock, deadline, [&] { return question->done; }))
    return Failed(host, "no answer in time");
  if (question->error != 0) return Failed(host, gai_strerror(question->error));
  return std::move(question->found);
}

}  // namespace prov::ldap
