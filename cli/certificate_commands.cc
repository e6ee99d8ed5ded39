// issue-certificate, list-certificates, revoke-certificate.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "common/certificate.h"
#include "common/file.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/enrolment.grpc.pb.h"

namespace prov::cli {
namespace {

using google::protobuf::util::TimeUtil;
using v1::Enrolment;

struct IssueOptions {
  std::string role;
  std::string caller;
  std::string directory;
};

// The key of an attempt that was cut off is used again: it has been nobody's yet.
absl::StatusOr<std::string> KeyAt(const std::string& path) {
  absl::StatusOr<std::string> left = ReadFile(path, kMaxPemOctets);
  if (left.ok() || !absl::IsNotFound(left.status())) return left;
  PROV_ASSIGN_OR_RETURN(const std::string key, MakeKey());
  PROV_RETURN_IF_ERROR(ReplaceFile(path, key, 0600));
  return key;
}

absl::Status RunIssueCertificate(Session& session, const IssueOptions& o) {
  // It becomes a file's name.
  if (o.caller.find('/') != std::string::npos || o.caller.starts_with('.')) {
    return InvalidField("caller", "must be a name such as mary");
  }
  const std::string base = fmt::format("{}/{}", o.directory, o.caller);
  if (access((base + ".pem").c_str(), F_OK) == 0) {
    return FieldError(absl::StatusCode::kAlreadyExists, "--out", "FILE_EXISTS",
                      fmt::format("{}.pem is there already and is not overwritten", Safe(base)));
  }
  v1::IssueCallerCertificateRequest request;
  request.set_role(o.role);
  request.set_caller(o.caller);
  std::string key;
  if (session.options.dry_run) {
    PROV_ASSIGN_OR_RETURN(key, MakeKey());
  } else {
    PROV_RETURN_IF_ERROR(EnsureDirectory(o.directory, 0700));
    PROV_ASSIGN_OR_RETURN(key, KeyAt(base + ".key"));
  }
  PROV_ASSIGN_OR_RETURN(*request.mutable_certificate_request_der(), MakeCertificateRequest(key));
  auto stub = Enrolment::NewStub(session.channel());
  v1::Certificate issued;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Enrolment::Stub::IssueCallerCertificate, request, &issued));
  if (!session.options.dry_run) {
    PROV_RETURN_IF_ERROR(ReplaceFile(o.directory + "/ca.pem", issued.chain_pem(), 0644));
    PROV_RETURN_IF_ERROR(ReplaceFile(base + ".pem", issued.certificate_pem(), 0644));
  }
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(issued));
  } else if (!session.options.quiet && session.options.dry_run) {
    fmt::print("would have issued a certificate for {}/{}\n", Safe(o.role), Safe(o.caller));
  } else if (!session.options.quiet) {
    fmt::print("issued {}.pem for {}, serial {}, good until {}\n", Safe(base), Safe(issued.identity()),
               Safe(issued.serial()), TimeUtil::ToString(issued.expire_time()));
  }
  return absl::OkStatus();
}

struct ListOptions {
  std::string identity;
  uint32_t limit = 100;
};

std::string StandingText(const v1::IssuedCertificate& certificate) {
  if (certificate.has_revoke_time()) {
    return fmt::format("revoked {}{}{}", TimeUtil::ToString(certificate.revoke_time()),
                       certificate.revoke_reason().empty() ? "" : ": ", certificate.revoke_reason());
  }
  return certificate.expire_time() < TimeUtil::GetCurrentTime() ? "expired" : "good";
}

absl::Status RunListCertificates(Session& session, const ListOptions& o) {
  if (!IsValidUtf8(o.identity)) return InvalidField("identity", "is not valid UTF-8");
  auto stub = Enrolment::NewStub(session.channel());
  v1::ListCertificatesRequest request;
  request.set_identity(o.identity);
  v1::ListCertificatesResponse all;
  constexpr uint32_t kPage = 1000;
  do {
    request.set_page_size(
        static_cast<int32_t>(std::min(kPage, o.limit - static_cast<uint32_t>(all.certificates_size()))));
    v1::ListCertificatesResponse page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListCertificates(context, request, &page); }));
    all.mutable_certificates()->MergeFrom(page.certificates());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && static_cast<uint32_t>(all.certificates_size()) < o.limit);
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(all));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const v1::IssuedCertificate& one : all.certificates()) {
    rows.push_back({one.serial(), one.identity(), TimeUtil::ToString(one.expire_time()), one.issued_by(),
                    StandingText(one)});
  }
  fmt::print("{}", ToTable({"SERIAL", "FOR", "EXPIRES", "ISSUED BY", "STANDING"}, rows));
  return absl::OkStatus();
}

struct RevokeOptions {
  std::string serial;
  std::string reason;
};

absl::Status RunRevokeCertificate(Session& session, const RevokeOptions& o) {
  if (!IsValidUtf8(o.serial)) return InvalidField("serial", "is not valid UTF-8");
  if (!IsValidUtf8(o.reason)) return InvalidField("reason", "is not valid UTF-8");
  v1::RevokeCertificateRequest request;
  request.set_serial(o.serial);
  request.set_reason(o.reason);
  auto stub = Enrolment::NewStub(session.channel());
  v1::RevokeCertificateResponse revoked;
  PROV_RETURN_IF_ERROR(session.Write(*stub, &Enrolment::Stub::RevokeCertificate, request, &revoked));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(revoked));
  } else if (!session.options.quiet) {
    fmt::print("{} {}\n", session.options.dry_run ? "would have revoked" : "revoked", Safe(o.serial));
  }
  return absl::OkStatus();
}

}  // namespace

void AddCertificateCommands(CLI::App& app, Action& chosen) {
  auto issue = std::make_shared<IssueOptions>();
  CLI::App* command =
      AddCommand(app, chosen, "issue-certificate",
                 "Make a key, which stays here, and get a certificate for it: for a person or a program.\n"
                 "Example: provctl issue-certificate helpdesk mary --out certificates",
                 issue, RunIssueCertificate);
  command->add_option("role", issue->role, "billing, helpdesk, operator or auditor")->required();
  command->add_option("name", issue->caller, "of the person or program")->required();
  command->add_option("--out", issue->directory, "directory for NAME.key, NAME.pem and ca.pem")->required();

  auto list = std::make_shared<ListOptions>();
  command = AddCommand(app, chosen, "list-certificates",
                       "List the certificates that provd has signed, newest first.\n"
                       "Example: provctl list-certificates --identity agent/store1",
                       list, RunListCertificates);
  command->add_option("--identity", list->identity, "only of ROLE/NAME");
  command->add_option("--limit", list->limit, "at most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));

  auto revoke = std::make_shared<RevokeOptions>();
  command = AddCommand(app, chosen, "revoke-certificate",
                       "Have every provd refuse a certificate, within seconds.\n"
                       "Example: provctl revoke-certificate 8f3c0de5 --reason \"laptop lost\"",
                       revoke, RunRevokeCertificate);
  command->add_option("serial", revoke->serial, "hexadecimal, as list-certificates and openssl show it")
      ->required();
  command->add_option("--reason", revoke->reason, "for the record");
}

}  // namespace prov::cli
