#include "agents/renewal.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <random>
#include <utility>

#include "agents/certificate_files.h"
#include "agents/sync/backoff.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "common/log.h"
#include "common/status.h"
#include "prov/v1/enrolment.grpc.pb.h"

namespace prov {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr seconds kCallPatience(15);
// An administrator may enrol the host anew meanwhile.
constexpr seconds kLookInterval(5);
constexpr sync::Backoff kRetry = {.first = seconds(2), .longest = std::chrono::minutes(10)};

uint64_t AnyNumber() {
  static std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

system_clock::time_point RenewalTime(const CertificateFacts& certificate, uint64_t random) {
  const auto life = duration_cast<milliseconds>(certificate.not_after - certificate.not_before);
  const int64_t spread = std::max<int64_t>(life.count() / 10, 1);
  const auto early = milliseconds(life.count() * 2 / 3 - spread / 2);
  return certificate.not_before + early +
         milliseconds(static_cast<int64_t>(random % static_cast<uint64_t>(spread)));
}

CertificateRenewal::CertificateRenewal(RenewalOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), thread_([this] { Loop(); }) {}

CertificateRenewal::~CertificateRenewal() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

CertificateRenewal::Health CertificateRenewal::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

// Whether it is time to stop.
bool CertificateRenewal::Sleep(milliseconds pause) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, pause, [this] { return stopping_; });
}

// Takes in what the files hold now.
void CertificateRenewal::Look() {
  const absl::StatusOr<CertificateFacts> found = ReadOwnCertificate(options_.files);
  if (!found.ok()) {
    Log(Level::kError, "certificate_unreadable", {{"error", found.status()}});
    return;
  }
  if (found->serial == current_.serial) return;
  const bool first = current_.serial.empty();
  current_ = *found;
  failures_in_row_ = 0;
  not_before_ = {};
  renew_at_ = RenewalTime(current_, AnyNumber());
  {
    const std::lock_guard lock(mutex_);
    health_ = {current_.not_after, 0};
  }
  const auto until = duration_cast<seconds>(renew_at_ - clock_.Now());
  Log(Level::kInfo, first ? "certificate" : "certificate_changed",
      {{"serial", current_.serial}, {"renewal_in_seconds", until.count()}});
  if (!first && options_.on_changed) options_.on_changed();
}

void CertificateRenewal::Loop() {
  for (;;) {
    Look();
    milliseconds until = kLookInterval;
    if (!current_.serial.empty()) {
      // The clock may be set at any time; how long a failed attempt is ago does not change with it.
      until = std::max(duration_cast<milliseconds>(renew_at_ - clock_.Now()),
                       duration_cast<milliseconds>(not_before_ - clock_.Monotonic()));
    }
    if (until.count() <= 0) {
      RenewSomewhere();
      continue;
    }
    if (Sleep(std::clamp<milliseconds>(until, milliseconds(1), kLookInterval))) return;
  }
}

void CertificateRenewal::RenewSomewhere() {
  const std::string& provd = options_.provd[next_provd_++ % options_.provd.size()];
  const absl::Status status = Renew(provd);
  if (status.ok()) {
    not_before_ = clock_.Monotonic() + kLookInterval;  // the next look finds it, and knows better
    return;
  }
  ++failures_in_row_;
  {
    const std::lock_guard lock(mutex_);
    health_.failures = failures_in_row_;
  }
  const auto left = duration_cast<seconds>(current_.not_after - clock_.Now());
  Log(Level::kError, "certificate_renewal_failed",
      {{"provd", provd},
       {"error", status},
       {"attempts", failures_in_row_},
       {"expires_in_seconds", left.count()}});
  not_before_ = clock_.Monotonic() + kRetry.Delay(failures_in_row_, AnyNumber());
}

absl::Status CertificateRenewal::Renew(const std::string& provd) const {
  PROV_RETURN_IF_ERROR(FinishAdoption(options_.files));
  PROV_ASSIGN_OR_RETURN(const std::string key, NextKey(options_.files));
  v1::RenewCertificateRequest request;
  PROV_ASSIGN_OR_RETURN(*request.mutable_certificate_request_der(), MakeCertificateRequest(key));
  PROV_ASSIGN_OR_RETURN(const auto credentials,
                        ClientTls({options_.files.ca, options_.files.certificate, options_.files.key}));
  const auto stub = v1::Enrolment::NewStub(grpc::CreateChannel(provd, credentials));
  grpc::ClientContext context;
  context.set_deadline(system_clock::now() + kCallPatience);
  v1::Certificate answer;
  PROV_RETURN_IF_ERROR(FromGrpcStatus(stub->RenewCertificate(&context, request, &answer)));
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(answer.certificate_pem()));
  if (facts.identity != current_.identity) {
    return absl::FailedPreconditionError("the new certificate is for " + facts.identity);
  }
  return AdoptCertificate(options_.files, answer.certificate_pem());
}

}  // namespace prov
