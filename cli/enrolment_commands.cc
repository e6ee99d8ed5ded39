// enrol-host, evict-host, ban-host.
#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "common/status.h"
#include "common/utf8.h"
#include "prov/v1/enrolment.grpc.pb.h"
#include "prov/v1/fleet.grpc.pb.h"

namespace prov::cli {
namespace {

using google::protobuf::util::TimeUtil;
using v1::Enrolment;
using v1::Fleet;

struct EnrolOptions {
  std::string host;
  std::vector<std::string> pools;
  std::string lifetime = "1h";
};

absl::Status CheckNames(const EnrolOptions& o) {
  if (!IsValidUtf8(o.host)) return InvalidField("host", "is not valid UTF-8");
  for (const std::string& pool : o.pools) {
    if (!IsValidUtf8(pool)) return InvalidField("host.pools", "is not valid UTF-8");
  }
  return absl::OkStatus();
}

// The host is there already: it must be where the operator believes it to be.
absl::Status CheckPools(Session& session, Fleet::Stub& stub, const v1::Host& wanted) {
  v1::GetHostRequest request;
  request.set_name(wanted.name());
  v1::Host host;
  PROV_RETURN_IF_ERROR(
      session.Invoke([&](grpc::ClientContext* context) { return stub.GetHost(context, request, &host); }));
  const auto as_set = [](const v1::Host& one) {
    return std::set<std::string>(one.pools().begin(), one.pools().end());
  };
  if (as_set(host) == as_set(wanted)) return absl::OkStatus();
  return FieldError(absl::StatusCode::kFailedPrecondition, "--pool", "HOST_POOLS",
                    fmt::format("{} is there, in other pools; leave --pool out, or change them with provctl "
                                "update-host",
                                Safe(wanted.name())));
}

// Whether there is a host to make a token for; in a rehearsal one that would be made is not there.
absl::StatusOr<bool> EnsureHost(Session& session, const EnrolOptions& o) {
  if (o.pools.empty()) return true;
  v1::CreateHostRequest request;
  request.mutable_host()->set_name("hosts/" + o.host);
  request.mutable_host()->set_weight(1);
  for (const std::string& pool : o.pools) request.mutable_host()->add_pools("pools/" + pool);
  auto stub = Fleet::NewStub(session.channel());
  v1::Host created;
  const absl::Status status = session.Write(*stub, &Fleet::Stub::CreateHost, request, &created);
  if (status.ok()) return !session.options.dry_run;
  if (!absl::IsAlreadyExists(status)) return status;
  PROV_RETURN_IF_ERROR(CheckPools(session, *stub, request.host()));
  return true;
}

// Of provd as we dial it, with the port where it enrols.
std::string EnrolmentAddress(const Session& session, uint32_t port) {
  const std::string& server = session.server();
  return fmt::format("{}:{}", Safe(server.substr(0, server.rfind(':'))), port);
}

void ShowToken(const Session& session, const EnrolOptions& o, const v1::EnrolmentToken& token) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(token));
    return;
  }
  if (session.options.quiet) {
    fmt::print("{}\n", Safe(token.token()));
    return;
  }
  fmt::print("{}\n\n", Safe(token.token()));
  fmt::print("Good once, for {}, until {}. It is a secret and is not shown again.\n", Safe(o.host),
             TimeUtil::ToString(token.expire_time()));
  fmt::print("On {}, with its /etc/prov/agent.toml in place, run this and give it the token:\n\n",
             Safe(o.host));
  fmt::print("    prov-agent enrol --provd {} --start\n\n",
             EnrolmentAddress(session, token.enrolment_port()));
  fmt::print("It ends when the host is ready.\n");
}

absl::Status RunEnrolHost(Session& session, const EnrolOptions& o) {
  PROV_RETURN_IF_ERROR(CheckNames(o));
  std::chrono::milliseconds lifetime;
  PROV_RETURN_IF_ERROR(ParseTimeout(o.lifetime, lifetime, "--lifetime"));
  PROV_ASSIGN_OR_RETURN(const bool there, EnsureHost(session, o));
  v1::EnrolmentToken token;
  if (there) {
    v1::CreateEnrolmentTokenRequest request;
    request.set_host("hosts/" + o.host);
    *request.mutable_lifetime() = TimeUtil::MillisecondsToDuration(lifetime.count());
    auto stub = Enrolment::NewStub(session.channel());
    PROV_RETURN_IF_ERROR(session.Write(*stub, &Enrolment::Stub::CreateEnrolmentToken, request, &token));
  }
  if (!session.options.dry_run) {
    ShowToken(session, o, token);
  } else if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(token));
  } else if (!session.options.quiet) {
    fmt::print("would have made a token for hosts/{}\n", Safe(o.host));
  }
  return absl::OkStatus();
}

struct WithdrawOptions {
  std::string host;
  std::string reason;
  bool yes = false;
};

template <typename Request>
absl::Status Withdraw(Session& session, const WithdrawOptions& o, std::string_view done,
                      grpc::Status (Fleet::Stub::*method)(grpc::ClientContext*, const Request&, v1::Host*)) {
  if (!IsValidUtf8(o.host)) return InvalidField("name", "is not valid UTF-8");
  if (!IsValidUtf8(o.reason)) return InvalidField("reason", "is not valid UTF-8");
  Request request;
  request.set_name("hosts/" + o.host);
  request.set_reason(o.reason);
  auto stub = Fleet::NewStub(session.channel());
  v1::Host host;
  PROV_RETURN_IF_ERROR(session.Write(*stub, method, request, &host));
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(host));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, done, Safe(host.name()), host.revision()));
  }
  return session.WaitIfAsked(host.revision());
}

absl::Status RunEvictHost(Session& session, const WithdrawOptions& o) {
  return Withdraw<v1::EvictHostRequest>(session, o, "evicted", &Fleet::Stub::EvictHost);
}

absl::Status RunBanHost(Session& session, const WithdrawOptions& o) {
  if (!o.yes && !session.options.dry_run) {
    return InvalidField("--yes",
                        "is needed: a banned host may never enrol again; evict-host is for those that may");
  }
  return Withdraw<v1::BanHostRequest>(session, o, "banned", &Fleet::Stub::BanHost);
}

}  // namespace

void AddEnrolmentCommands(CLI::App& app, Action& chosen) {
  auto enrol = std::make_shared<EnrolOptions>();
  CLI::App* command = AddCommand(app, chosen, "enrol-host",
                                 "Make a one-time token, with which prov-agent enrol on the host gets its "
                                 "certificate.\nAn earlier token of the "
                                 "host is void.\nExample: provctl enrol-host store1 --pool main",
                                 enrol, RunEnrolHost);
  command->add_option("name", enrol->host, "of the host, as in its agent.toml")->required();
  command->add_option("--pool", enrol->pools, "add the host, in this pool, unless it is there; repeatable")
      ->allow_extra_args(false);
  command->add_option("--lifetime", enrol->lifetime, "of the token, at most a day")->capture_default_str();

  auto evict = std::make_shared<WithdrawOptions>();
  command = AddCommand(app, chosen, "evict-host",
                       "Take a host's certificates away and end its streams; it may enrol again.\n"
                       "Example: provctl evict-host store1 --reason \"disk replaced\"",
                       evict, RunEvictHost);
  command->add_option("name", evict->host, "of the host")->required();
  command->add_option("--reason", evict->reason, "for the record");

  auto ban = std::make_shared<WithdrawOptions>();
  command = AddCommand(app, chosen, "ban-host",
                       "Take a host's certificates away for good; it may not enrol again.\n"
                       "Example: provctl ban-host store1 --reason stolen --yes",
                       ban, RunBanHost);
  command->add_option("name", ban->host, "of the host")->required();
  command->add_option("--reason", ban->reason, "for the record");
  command->add_flag("--yes", ban->yes, "there is no way back");
}

}  // namespace prov::cli
