#include "agents/enrolment.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/ascii.h"
#include "agents/certificate_files.h"
#include "common/certificate.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/grpc_tls.h"
#include "common/retry_info.h"
#include "common/status.h"
#include "prov/v1/enrolment.grpc.pb.h"

namespace prov {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::chrono::seconds kPatience(120);
constexpr std::chrono::seconds kCallPatience(20);
constexpr milliseconds kPause(500);
constexpr size_t kHexDigits = 64;

bool IsHex(std::string_view text) {
  return text.size() == kHexDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The same call again while provd cannot be reached or is busy: a token that was used with this very key is
// good for it again.
template <typename Call>
absl::Status Persist(system_clock::time_point deadline, const Call& call) {
  for (;;) {
    grpc::ClientContext context;
    context.set_deadline(std::min(deadline, system_clock::now() + kCallPatience));
    absl::Status status = FromGrpcStatus(call(context));
    const auto asked = RetryDelayOf(status);
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status) && !asked) return status;
    const milliseconds pause = std::max(kPause, asked.value_or(kPause));
    if (system_clock::now() + pause >= deadline) return status;
    std::this_thread::sleep_for(pause);
  }
}

absl::StatusOr<std::string> FetchAuthority(const std::string& provd, const std::string& fingerprint,
                                           system_clock::time_point deadline) {
  const auto stub = v1::Enrolment::NewStub(grpc::CreateChannel(provd, UnverifiedTls()));
  v1::Authority authority;
  PROV_RETURN_IF_ERROR(Annotate(
      Persist(deadline,
              [&](grpc::ClientContext& context) { return stub->GetAuthority(&context, {}, &authority); }),
      fmt::format("fetch the CA's certificate from {}", provd)));
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(authority.certificate_pem()));
  if (facts.fingerprint == fingerprint) return authority.certificate_pem();
  return absl::UnauthenticatedError(fmt::format(
      "{} shows the CA with fingerprint {}, and the token is of the one with {}: this is another provd, "
      "or somebody stands between; the token was not sent",
      provd, facts.fingerprint, fingerprint));
}

// That the name dialled is in the server's certificate is checked by TLS; that it is a provd's is not.
absl::Status CheckIsProvd(v1::Enrolment::Stub& stub, system_clock::time_point deadline) {
  PeerIdentity identity;
  const auto look = [&](grpc::ClientContext& context) {
    v1::Authority again;
    grpc::Status status = stub.GetAuthority(&context, {}, &again);
    if (!status.ok()) return status;
    const auto found = IdentityOf(*context.auth_context());
    if (!found.ok()) return ToGrpcStatus(found.status());
    identity = *found;
    return status;
  };
  PROV_RETURN_IF_ERROR(Persist(deadline, look));
  if (identity.role == "provd") return absl::OkStatus();
  return absl::UnauthenticatedError(
      fmt::format("the server is no provd but {}/{}; the token was not sent", identity.role, identity.name));
}

absl::Status CheckAnswer(const v1::Certificate& answer, const AgentConfig& config,
                         const std::string& fingerprint) {
  PROV_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(answer.certificate_pem()));
  if (facts.identity != "prov://agent/" + config.host) {
    return absl::FailedPreconditionError(fmt::format("the certificate is for {}, and {} says host = \"{}\"",
                                                     facts.identity, config.path, config.host));
  }
  if (HoldsFingerprint(answer.chain_pem(), fingerprint)) return absl::OkStatus();
  return absl::FailedPreconditionError("the certificate came with another CA than the token's");
}

// A file that has this CA among others is an administrator's; it stays.
absl::Status KeepAuthority(const std::string& path, const std::string& pem, const std::string& fingerprint) {
  const absl::StatusOr<std::string> present = ReadFile(path, kMaxPemOctets);
  if (present.ok() && HoldsFingerprint(*present, fingerprint)) return absl::OkStatus();
  return ReplaceFile(path, pem, 0644);
}

}  // namespace

absl::StatusOr<EnrolmentTokenParts> ParseEnrolmentToken(std::string_view text) {
  const auto stripped = absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const std::string_view whole(stripped.data(), stripped.size());
  const size_t dot = whole.find('.');
  if (dot == std::string_view::npos || !IsHex(whole.substr(0, dot)) || !IsHex(whole.substr(dot + 1))) {
    return InvalidField("token",
                        "is not one of provctl enrol-host: 64 hexadecimal digits, a dot, and 64 again");
  }
  return EnrolmentTokenParts{std::string(whole), std::string(whole.substr(dot + 1))};
}

absl::Status Enrol(const AgentConfig& config, const std::string& provd, const EnrolmentTokenParts& token) {
  const auto deadline = system_clock::now() + kPatience;
  PROV_RETURN_IF_ERROR(FinishAdoption(config.tls));
  PROV_ASSIGN_OR_RETURN(const std::string key, NextKey(config.tls));
  v1::EnrolRequest request;
  request.set_token(token.whole);
  request.set_host(config.host);
  PROV_ASSIGN_OR_RETURN(*request.mutable_certificate_request_der(), MakeCertificateRequest(key));

  PROV_ASSIGN_OR_RETURN(const std::string ca, FetchAuthority(provd, token.ca_fingerprint, deadline));
  const auto stub = v1::Enrolment::NewStub(grpc::CreateChannel(provd, StrangerTls(ca)));
  PROV_RETURN_IF_ERROR(CheckIsProvd(*stub, deadline));
  v1::Certificate answer;
  PROV_RETURN_IF_ERROR(Persist(
      deadline, [&](grpc::ClientContext& context) { return stub->Enrol(&context, request, &answer); }));
  PROV_RETURN_IF_ERROR(CheckAnswer(answer, config, token.ca_fingerprint));
  PROV_RETURN_IF_ERROR(KeepAuthority(config.tls.ca, ca, token.ca_fingerprint));
  return AdoptCertificate(config.tls, answer.certificate_pem());
}

}  // namespace prov
