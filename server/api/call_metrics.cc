#include "server/api/call_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/metrics.h"

namespace prov::api {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

struct Families {
  prometheus::Family<prometheus::Counter>& calls =
      prometheus::BuildCounter()
          .Name("prov_api_calls_total")
          .Help("Calls that have ended, by method and google.rpc code")
          .Register(*MetricsRegistry());
  prometheus::Family<prometheus::Histogram>& seconds = prometheus::BuildHistogram()
                                                           .Name("prov_api_seconds")
                                                           .Help("Time of calls with one answer, by method")
                                                           .Register(*MetricsRegistry());
};

class CallTimer final : public grpc::experimental::Interceptor {
 public:
  CallTimer(Families& families, const ServerRpcInfo& info)
      : families_(families),
        method_(info.method()),
        unary_(info.type() == ServerRpcInfo::Type::UNARY),
        start_(std::chrono::steady_clock::now()) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Count(methods->GetSendStatus().error_code());
    }
    methods->Proceed();
  }

 private:
  void Count(grpc::StatusCode code) {
    const std::string name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
    families_.calls.Add({{"method", method_}, {"code", name}}).Increment();
    if (!unary_) return;
    static const prometheus::Histogram::BucketBoundaries kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                                    0.1,   0.25,   0.5,   1,    2.5,   10};
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start_;
    families_.seconds.Add({{"method", method_}}, kBounds).Observe(took.count());
  }

  Families& families_;
  const std::string method_;
  const bool unary_;
  const std::chrono::steady_clock::time_point start_;
};

class CallMetrics final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new CallTimer(families_, *info);  // gRPC deletes it with the call
  }

 private:
  Families families_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics() {
  return std::make_unique<CallMetrics>();
}

}  // namespace prov::api
