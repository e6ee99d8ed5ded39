#include "server/store/agent_claim.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>

#include "common/status.h"
#include "server/store/connection_pool.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr std::chrono::minutes kRefusalTold{2};

// Two that come at once meet at the row: one of them waits for the other, and then sees its claim.
constexpr char kTake[] = R"(
INSERT INTO prov.agent_claim AS c (host, instance, peer, last_seen)
SELECT $1, $2, $3, now() WHERE EXISTS (SELECT 1 FROM prov.host WHERE id = $1)
ON CONFLICT (host) DO UPDATE SET instance = excluded.instance, peer = excluded.peer, last_seen = now()
  WHERE c.instance = excluded.instance OR ($4 AND c.last_seen < now() - make_interval(secs => $5))
RETURNING host)";

constexpr char kRefuse[] = R"(
UPDATE prov.agent_claim SET refused_peer = $2, refused_at = now() WHERE host = $1
RETURNING peer, date_part('epoch', now() - last_seen)::bigint AS age)";

constexpr char kKeep[] = R"(
UPDATE prov.agent_claim p SET last_seen = now()
FROM jsonb_to_recordset($1::jsonb) AS c(host text, instance text) WHERE p.host = c.host AND p.instance = c.instance
RETURNING p.host, p.instance, CASE WHEN refused_at > now() - make_interval(secs => $2) THEN refused_peer ELSE '' END AS refused)";

}  // namespace

absl::Status AgentClaims::Take(const AgentClaim& claim, const std::string& peer, bool may_take_over) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("claim a host for its agent", [&]() -> absl::Status {
    pqxx::work work(*lease);
    const pqxx::result taken =
        work.exec_params(kTake, claim.host, claim.instance, peer, may_take_over, kClaimLifetime.count());
    if (!taken.empty()) {
      work.commit();
      return absl::OkStatus();
    }
    const pqxx::result refused = work.exec_params(kRefuse, claim.host, peer);
    work.commit();
    if (refused.empty()) return absl::NotFoundError(fmt::format("there is no host {}", claim.host));
    return FieldError(
        absl::StatusCode::kAlreadyExists, "host", kIdentityTaken,
        fmt::format(
            "another agent is {} already: at {}, heard {} s ago. If this machine is a copy of that one, "
            "give it a name and a certificate of its own (provctl add-host, enrol-host); if it takes "
            "that one's place, it is let in when that one has been silent for {} s",
            claim.host, refused[0]["peer"].as<std::string>(), refused[0]["age"].as<int64_t>(),
            kClaimLifetime.count()));
  });
}

absl::StatusOr<std::vector<KeptClaim>> AgentClaims::Keep(const std::vector<AgentClaim>& claims) {
  std::vector<KeptClaim> kept;
  if (claims.empty()) return kept;
  auto list = nlohmann::json::array();
  for (const AgentClaim& claim : claims) list.push_back({{"host", claim.host}, {"instance", claim.instance}});
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("keep agents' claims", [&]() -> absl::StatusOr<std::vector<KeptClaim>> {
    pqxx::work work(*lease);
    const auto seconds = std::chrono::seconds(kRefusalTold).count();
    const pqxx::result rows = work.exec_params(kKeep, list.dump(), seconds);
    work.commit();
    for (const auto& row : rows) {
      kept.push_back({{row["host"].as<std::string>(), row["instance"].as<std::string>()},
                      row["refused"].as<std::string>()});
    }
    return kept;
  });
}

}  // namespace prov::store
