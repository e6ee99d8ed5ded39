#include "server/api/explainer.h"

#include <algorithm>
#include <set>

#include "common/status.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/directory/verifier.h"
#include "server/feed/view.h"

namespace prov::api {
namespace {

using directory::DirectoryDifference;
using model::Role;

// Somebody is waiting at a telephone.
constexpr std::chrono::seconds kDirectoryPatience(3);
std::string ErrorAbout(const std::string& key, const std::vector<store::FailingItem>& failing) {
  const auto item =
      std::find_if(failing.begin(), failing.end(), [&](const auto& one) { return one.key == key; });
  return item == failing.end() ? "" : item->error;
}

}  // namespace

absl::StatusOr<v1::Explanation> Explainer::Explain(const std::string& name) const {
  PROV_ASSIGN_OR_RETURN(const std::string key, SubscriberKeyOf("name", name));
  SubscriberFacts facts;
  auto subscriber = parts_.subscribers->Get(key);
  if (absl::IsNotFound(subscriber.status()) && key.find('@') != std::string::npos) {
    subscriber = parts_.subscribers->GetByAddress(key);
    facts.asked_for = key;
  }
  PROV_RETURN_IF_ERROR(subscriber.status());
  facts.subscriber = *std::move(subscriber);
  const std::string& login = facts.subscriber.login;
  auto domain = parts_.domains->Get(login.substr(login.rfind('@') + 1));
  if (!domain.ok() && !absl::IsNotFound(domain.status())) return domain.status();
  if (domain.ok()) facts.domain = *std::move(domain);

  PROV_ASSIGN_OR_RETURN(const feed::Feed::FleetAtHead now, parts_.fleet->Refresh());
  const std::vector<feed::Follower> followers =
      parts_.convergence->Followers(facts.subscriber.revision, true);
  facts.directory = AskDirectory(facts.subscriber, followers.front());
  PROV_ASSIGN_OR_RETURN(facts.hosts, AskHosts(facts.subscriber, now.fleet, followers));
  return api::Explain(facts);
}

DirectoryFacts Explainer::AskDirectory(const model::Subscriber& subscriber,
                                       const feed::Follower& standing) const {
  DirectoryFacts facts;
  const directory::Publisher::Status status = parts_.publisher->GetStatus();
  facts.applied_revision = status.applied_revision;
  facts.time_to_go = standing.time_to_go;
  facts.cause = standing.cause;
  facts.refused = ErrorAbout(feed::SubscriberKey(subscriber.id), status.failing);
  directory::Publisher::Options options = parts_.options;
  options.connect_timeout = options.operation_timeout = kDirectoryPatience;
  const auto differences = directory::CompareSubscriber(*parts_.snapshots, options, subscriber.id);
  if (!differences.ok()) {
    facts.unreachable = std::string(MessageOf(differences.status()));
    return facts;
  }
  std::set<std::string> attributes;
  for (const DirectoryDifference& difference : *differences) {
    facts.missing = facts.missing || difference.kind == DirectoryDifference::Kind::kMissing;
    if (difference.kind == DirectoryDifference::Kind::kExtra) attributes.insert("its being there");
    attributes.insert(difference.attributes.begin(), difference.attributes.end());
  }
  facts.differing.assign(attributes.begin(), attributes.end());
  return facts;
}

absl::StatusOr<std::vector<HostFacts>> Explainer::AskHosts(
    const model::Subscriber& subscriber, const feed::Fleet& fleet,
    const std::vector<feed::Follower>& followers) const {
  PROV_ASSIGN_OR_RETURN(const std::vector<store::HostProgress> progress, parts_.progress->All());
  std::vector<HostFacts> hosts;
  std::set<std::pair<Role, std::string>> seen;
  for (const model::Host& host : fleet.hosts) {
    for (const std::string& id : host.pools) {
      const model::Pool* const pool = fleet.FindPool(id);
      if (pool == nullptr || (pool->role == Role::kStore && id != subscriber.store_pool)) continue;
      if (!seen.insert({pool->role, host.id}).second) continue;
      HostFacts facts{.host = host.id, .role = pool->role, .state = host.state};
      facts.standing.cause = "does not follow";
      for (const feed::Follower& follower : followers) {
        if (follower.name == "hosts/" + host.id && follower.role == pool->role) facts.standing = follower;
      }
      for (const store::HostProgress& one : progress) {
        if (one.host != host.id || one.role != pool->role) continue;
        facts.failing = ErrorAbout(feed::SubscriberKey(subscriber.id), one.failing);
      }
      hosts.push_back(std::move(facts));
    }
  }
  return hosts;
}

}  // namespace prov::api
