// The port where hosts without a certificate enrol. docs/decisions/0009-enrolment.md
//
// A server of its own, with TLS for the server alone: two methods, small messages, few threads, no
// reflection, no health service. All that callers with a certificate use is on the other port, which lets
// nobody else in.
#pragma once

#include <memory>
#include <string>

#include "common/grpc_tls.h"
#include "server/api/authorise.h"
#include "server/api/enrolment_service.h"
#include "server/store/write_queue.h"

namespace grpc {
class Server;
}

namespace prov::api {

class EnrolmentDoor {
 public:
  // `options.authority` must not be null. `on_refused` hears of each token that was not good; how many it can
  // be is bounded.
  EnrolmentDoor(store::WriteQueue& queue, EnrolmentOptions options, Authoriser::OnRefused on_refused);
  ~EnrolmentDoor();

  // To be called before gRPC's reflection and health service are switched on, which is for all servers that
  // are built afterwards. UNAVAILABLE when the address cannot be bound.
  absl::Status Start(const std::string& listen, const TlsFiles& files);
  // Not on a gRPC thread.
  void Stop();

 private:
  class Service;
  const std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace prov::api
