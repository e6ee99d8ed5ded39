// absl::Status to grpc::Status and back, details in the google.rpc wire form (AIP-193).
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace prov {

// Payloads travel as google.rpc.Status in the binary error details.
grpc::Status ToGrpcStatus(const absl::Status& status);

absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace prov
