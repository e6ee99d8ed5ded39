#include "server/api/enrolment_door.h"

#include <fmt/format.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

#include "common/clock.h"
#include "common/grpc_status.h"
#include "common/log.h"
#include "common/status.h"
#include "server/api/certificate_signing.h"
#include "server/api/rate_limit.h"
#include "server/model/validate.h"
#include "server/store/fleet_repository.h"

namespace prov::api {
namespace {

using store::CertificateRepository;
using store::WriteResult;
using store::WriteTransaction;

constexpr int kMostMessageOctets = 32 * 1024;
constexpr int kMostThreads = 8;
constexpr int kMostStreamsOfConnection = 4;
constexpr int kIdleMilliseconds = 10'000;
constexpr int kAgeMilliseconds = 60'000;
constexpr size_t kMostTokenOctets = 256;
constexpr std::chrono::seconds kDrainPatience(5);

// Tokens have 256 bits, so the rates are not what keeps them from being guessed: they bound what strangers
// cost.
constexpr Rate kOverall = {.per_second = 20, .burst = 60};
constexpr Rate kPerAddress = {.per_second = 2, .burst = 20};  // an enrolment is three calls

// "ipv4:192.0.2.1:40000" without the port.
std::string AddressOf(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

// The same for all that may be wrong with a token, so that an answer tells nothing of which there are.
absl::Status BadToken() {
  return FieldError(
      absl::StatusCode::kPermissionDenied, "token", "TOKEN_REFUSED",
      "is not good: unknown, expired, used already, or of another host; an operator makes another "
      "with provctl enrol-host");
}

}  // namespace

class EnrolmentDoor::Service final : public v1::Enrolment::Service {
 public:
  Service(store::WriteQueue& queue, EnrolmentOptions options, Authoriser::OnRefused on_refused)
      : queue_(queue),
        options_(std::move(options)),
        on_refused_(std::move(on_refused)),
        limiter_({{"overall", kOverall}, {"address", kPerAddress}}, SystemClock()) {}

  grpc::Status GetAuthority(grpc::ServerContext*, const v1::GetAuthorityRequest*,
                            v1::Authority* response) override {
    if (absl::Status status = limiter_.Take("overall", "everybody"); !status.ok())
      return ToGrpcStatus(status);
    response->set_certificate_pem(options_.authority->certificate_pem());
    return grpc::Status::OK;
  }

  grpc::Status Enrol(grpc::ServerContext* context, const v1::EnrolRequest* request,
                     v1::Certificate* response) override {
    const absl::Status status = TryEnrol(*context, *request, response);
    if (absl::IsPermissionDenied(status)) {
      on_refused_({"unknown", "unknown", context->peer(), "", {}}, "/prov.v1.Enrolment/Enrol", status);
    }
    return ToGrpcStatus(status);
  }

 private:
  // One address cannot use up what there is for all.
  absl::Status CheckPace(const grpc::ServerContext& context) {
    PROV_RETURN_IF_ERROR(limiter_.Take("address", AddressOf(context.peer())));
    return limiter_.Take("overall", "everybody");
  }

  absl::Status TryEnrol(const grpc::ServerContext& context, const v1::EnrolRequest& request,
                        v1::Certificate* response) {
    PROV_RETURN_IF_ERROR(CheckPace(context));
    PROV_RETURN_IF_ERROR(model::CheckHostId("host", request.host()));
    if (request.token().size() > kMostTokenOctets) return BadToken();
    SigningRequest signing;
    PROV_ASSIGN_OR_RETURN(signing.key, enrol::CheckCertificateRequest(request.certificate_request_der()));
    signing.identity = signing.issued_by = "agent/" + request.host();
    signing.lifetime = options_.host_lifetime;
    store::WriteContext write;
    write.caller = signing.identity;  // as the token proves, or nothing is written
    write.peer = context.peer();
    write.method = "/prov.v1.Enrolment/Enrol";
    write.deadline = context.deadline();
    PROV_ASSIGN_OR_RETURN(const WriteResult result,
                          queue_.Run(std::move(write), [&](WriteTransaction& transaction) {
                            return Admit(transaction, request, signing);
                          }));
    options_.trust_changed();
    if (!response->ParseFromString(result.response)) return absl::InternalError("the answer is malformed");
    Log(Level::kInfo, "host_enrolled",
        {{"host", request.host()}, {"peer", context.peer()}, {"serial", response->serial()}});
    return absl::OkStatus();
  }

  absl::StatusOr<WriteResult> Admit(WriteTransaction& write, const v1::EnrolRequest& request,
                                    const SigningRequest& signing) const {
    const auto id = CertificateRepository::UseToken(write, TokenHash(request.token()), signing.key.hash);
    if (!id || *id != request.host()) return BadToken();
    PROV_ASSIGN_OR_RETURN(model::Host host, store::FleetRepository::FindHost(write, *id));
    if (host.state == model::HostState::kBanned) return BadToken();
    if (host.state == model::HostState::kEvicted) {
      // The operator who made the token has taken it back.
      host.state = model::HostState::kServing;
      PROV_RETURN_IF_ERROR(store::FleetRepository::SaveHost(write, host).status());
    }
    PROV_ASSIGN_OR_RETURN(const v1::Certificate certificate,
                          SignAndRecord(write, *options_.authority, signing));
    return SigningResult("hosts/" + host.id, certificate);
  }

  store::WriteQueue& queue_;
  const EnrolmentOptions options_;
  const Authoriser::OnRefused on_refused_;
  RateLimiter limiter_;
};

EnrolmentDoor::EnrolmentDoor(store::WriteQueue& queue, EnrolmentOptions options,
                             Authoriser::OnRefused on_refused)
    : service_(std::make_unique<Service>(queue, std::move(options), std::move(on_refused))) {}
EnrolmentDoor::~EnrolmentDoor() { Stop(); }

absl::Status EnrolmentDoor::Start(const std::string& listen, const TlsFiles& files) {
  PROV_ASSIGN_OR_RETURN(const auto credentials, ServerTlsForStrangers(files));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, credentials);
  builder.SetMaxReceiveMessageSize(kMostMessageOctets);
  builder.SetResourceQuota(grpc::ResourceQuota("enrolment").SetMaxThreads(kMostThreads));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostStreamsOfConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kAgeMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (!server_) return absl::UnavailableError(fmt::format("cannot listen on {} for enrolment", listen));
  return absl::OkStatus();
}

void EnrolmentDoor::Stop() {
  if (!server_) return;
  server_->Shutdown(std::chrono::system_clock::now() + kDrainPatience);
  server_.reset();
}

}  // namespace prov::api
