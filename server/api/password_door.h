// Where slapd hands over what subscribers ask of it: another password for themselves.
//
// docs/decisions/0024-password-change.md. slapd is a client here, over a Unix socket whose directory only it
// and provd may enter. A thread of slapd's waits for each answer, and slapd has few: one change is made at a
// time, and whoever comes meanwhile hears at once that we are busy.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/file.h"
#include "server/api/rate_limit.h"
#include "server/api/workers.h"
#include "server/directory/password_request.h"
#include "server/store/subscriber_repository.h"
#include "server/store/write_queue.h"

namespace prov::api {

class PasswordDoor {
 public:
  struct Parts {
    store::WriteQueue* writes = nullptr;
    store::SubscriberRepository* subscribers = nullptr;
    Workers* workers = nullptr;
    std::string base;  // of the directory
    size_t least_password_characters = 8;
  };
  // The parts must outlive it.
  explicit PasswordDoor(Parts parts);
  // Stops.
  ~PasswordDoor();

  // UNAVAILABLE when the socket cannot be made. A socket that is there already is replaced.
  absl::Status Start(const std::string& path);
  // Ends after the change in progress. Harmless if it has ended, or never began.
  void Stop();

 private:
  void Listen();
  void Answer(FileDescriptor client);
  absl::Status Change(const directory::PasswordRequest& request);

  const Parts parts_;
  RateLimiter limiter_;  // tries of each subscriber
  std::string path_;
  FileDescriptor listener_, stop_;
  std::atomic<bool> busy_ = false;
  TaskGate gate_;
  std::thread thread_;
};

}  // namespace prov::api
