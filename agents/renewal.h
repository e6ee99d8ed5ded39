// Keeps this host's certificate fresh: asks for another when two thirds of its life are over.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "agents/config.h"
#include "common/certificate.h"
#include "common/clock.h"

namespace prov {

// When to ask for the next one: two thirds into its life, a twentieth of it earlier or later as `random`, any
// number, has it, so that hosts that were enrolled together do not come together. Pure.
std::chrono::system_clock::time_point RenewalTime(const CertificateFacts& certificate, uint64_t random);

struct RenewalOptions {
  AgentConfig::Tls files;
  std::vector<std::string> provd;  // host:port of the API, tried in turn
  // The files hold another certificate than before, renewed or enrolled anew. From the renewal's own thread.
  std::function<void()> on_changed;
};

// One thread. With provd away it tries on, and the certificate stays good until it expires.
class CertificateRenewal {
 public:
  CertificateRenewal(RenewalOptions options, const Clock& clock);
  // Waits for an attempt in progress, up to some seconds.
  ~CertificateRenewal();

  struct Health {
    std::chrono::system_clock::time_point expires;  // epoch: not known
    uint64_t failures = 0;                          // in a row
  };
  Health health() const;

 private:
  void Loop();
  bool Sleep(std::chrono::milliseconds pause);
  absl::Status Renew(const std::string& provd) const;
  void RenewSomewhere();
  void Look();

  const RenewalOptions options_;
  const Clock& clock_;
  CertificateFacts current_;  // the thread's own, as are the next four
  std::chrono::system_clock::time_point renew_at_;
  std::chrono::steady_clock::time_point not_before_;  // the next attempt
  size_t next_provd_ = 0;
  uint64_t failures_in_row_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  Health health_;
  std::thread thread_;
};

}  // namespace prov
