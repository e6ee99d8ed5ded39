// For tests: a server with real mutual TLS that answers as it is told, to bring about what a healthy provd
// seldom does.
#pragma once

#include <grpcpp/server.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "prov/v1/operations.grpc.pb.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {

// What to answer, and what was asked. Guarded by `mutex`.
struct Script {
  std::mutex mutex;

  // The next calls fail with these, one each, and then all go well.
  std::deque<absl::Status> failures;
  // GetSubscriber and every write answer with it; a write's login is put in.
  v1::Subscriber subscriber;
  // So many subscribers are in the list, with logins 0@example.net, 1@example.net and so on.
  int listed_total = 0;
  // WaitForRevision sends these and ends, or goes on until it is cancelled.
  std::vector<v1::RevisionProgress> progress;
  bool converges = true;

  std::vector<v1::CreateSubscriberRequest> create_requests;
  std::vector<v1::SetPasswordRequest> password_requests;
  std::vector<v1::ListSubscribersRequest> list_requests;
  int get_requests = 0;
  int wait_requests = 0;
};

class ScriptedProvd {
 public:
  // Makes a CA, certificates and `directory`/provctl.toml, and listens on a free port of 127.0.0.1.
  ScriptedProvd(const std::string& directory, Script& script);
  ~ScriptedProvd();

  const std::string& config() const { return config_; }
  const std::string& address() const { return address_; }

 private:
  const std::string config_;
  std::string address_;
  std::unique_ptr<v1::Subscribers::Service> subscribers_;
  std::unique_ptr<v1::Operations::Service> operations_;
  std::unique_ptr<grpc::Server> server_;
};

// Writes a certificate for `identity` to DIRECTORY/NAME.pem and .key, by the CA in `ca` (made if missing),
// and DIRECTORY/NAME.toml for `server` that uses it and trusts DIRECTORY/ca/ca.pem. The path of the latter.
std::string WriteCaller(const std::string& directory, const std::string& ca, const std::string& name,
                        const std::string& identity, const std::string& server);

}  // namespace prov::cli
