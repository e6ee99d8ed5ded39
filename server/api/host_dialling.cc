#include "server/api/host_dialling.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "common/status.h"

namespace prov::api {
namespace {

using model::Host;
using model::Role;

constexpr char kService[] = "control";  // in a host's endpoints
constexpr std::chrono::seconds kConnectPatience{5};
constexpr std::chrono::minutes kLongestCall{10};
constexpr size_t kPageSize = 500;
constexpr int kMaxAnswerOctets = 4 << 20;

absl::Status NotAsked(std::string_view description) {
  return FieldError(absl::StatusCode::kFailedPrecondition, "name", "HOST_NOT_ASKED", description);
}

bool IsQueueing(Role role) { return role == Role::kRelay || role == Role::kStore; }

}  // namespace

absl::StatusOr<bool> HostDialling::HasQueue(const Host& host) const {
  for (const std::string& id : host.pools) {
    PROV_ASSIGN_OR_RETURN(const model::Pool pool, fleet_.GetPool(id));
    if (IsQueueing(pool.role)) return true;
  }
  return false;
}

absl::StatusOr<Host> HostDialling::FindHost(std::string_view field, const std::string& id) const {
  absl::StatusOr<Host> host = fleet_.GetHost(id);
  if (absl::IsNotFound(host.status())) {
    return FieldError(absl::StatusCode::kNotFound, field, "HOST_UNKNOWN",
                      fmt::format("{} is not a host; provctl list-hosts shows those there are", id));
  }
  PROV_RETURN_IF_ERROR(host.status());
  if (!host->IsInService())
    return NotAsked(fmt::format("{} is {}: its agent is not asked any more", id, HostStateName(host->state)));
  PROV_ASSIGN_OR_RETURN(const bool has_queue, HasQueue(*host));
  if (!has_queue) return NotAsked(fmt::format("{} has no queue: it is neither a relay nor a store", id));
  return host;
}

absl::StatusOr<std::vector<Host>> HostDialling::HostsWithQueues() const {
  std::set<std::string> queueing;
  std::string after;
  for (;;) {
    PROV_ASSIGN_OR_RETURN(const std::vector<model::Pool> pools, fleet_.ListPools(after, kPageSize));
    for (const model::Pool& pool : pools) {
      if (IsQueueing(pool.role)) queueing.insert(pool.id);
    }
    if (pools.size() < kPageSize) break;
    after = pools.back().id;
  }
  std::vector<Host> found;
  after.clear();
  for (;;) {
    PROV_ASSIGN_OR_RETURN(std::vector<Host> hosts, fleet_.ListHosts(after, kPageSize));
    const bool last = hosts.size() < kPageSize;
    if (!last) after = hosts.back().id;
    for (Host& host : hosts) {
      const bool has_queue = std::any_of(host.pools.begin(), host.pools.end(),
                                         [&](const std::string& pool) { return queueing.contains(pool); });
      if (has_queue && host.IsInService()) found.push_back(std::move(host));
    }
    if (last) return found;
  }
}

absl::StatusOr<std::unique_ptr<v1::HostControl::Stub>> HostDialling::Connect(const Host& host) const {
  const auto endpoint = host.endpoints.find(kService);
  if (endpoint == host.endpoints.end()) {
    return NotAsked(
        fmt::format("{} does not say where it may be asked: set control_listen in its agent.toml and restart "
                    "prov-agent there",
                    host.id));
  }
  PROV_ASSIGN_OR_RETURN(const auto credentials, ClientTlsTo(tls_, {"agent", host.id}));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerOctets);
  const auto channel = grpc::CreateCustomChannel(endpoint->second, credentials, arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kConnectPatience)) {
    return NotAsked(
        fmt::format("{} cannot be reached at {}: does prov-agent run there, and listen there? "
                    "provctl show-host {} tells when it was heard last",
                    host.id, endpoint->second, host.id));
  }
  return v1::HostControl::NewStub(channel);
}

std::unique_ptr<grpc::ClientContext> HostDialling::ContextFor(const grpc::ServerContext& caller) {
  auto context = grpc::ClientContext::FromServerContext(caller);
  context->set_deadline(std::min(caller.deadline(), std::chrono::system_clock::now() + kLongestCall));
  return context;
}

absl::Status HostDialling::Explain(const Host& host, const absl::Status& status) {
  if (status.ok() || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) ||
      absl::IsInvalidArgument(status))
    return status;
  if (absl::IsUnimplemented(status))
    return NotAsked(fmt::format("the agent of {} is too old to be asked: upgrade it", host.id));
  // UNAVAILABLE would have the caller ask again, and think that it is provd that does not answer.
  return NotAsked(fmt::format("{}: {}", host.id, MessageOf(status)));
}

}  // namespace prov::api
