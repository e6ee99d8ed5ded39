// How many calls there are, how they end and how long they take, by method, for Prometheus.
//
//   prov_api_calls_total{method,code}   every call that ended; code as google.rpc names it
//   prov_api_seconds{method}            of calls with one answer; a stream lasts as long as its caller likes
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

namespace prov::api {

// For grpc::ServerBuilder; sees the calls of registered methods, so that no caller can make up a label.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics();

}  // namespace prov::api
