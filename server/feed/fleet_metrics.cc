#include "server/feed/fleet_metrics.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <string>

namespace prov::feed {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;

MetricFamily Gauge(const char* name, const char* help) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  return family;
}

ClientMetric& Add(MetricFamily& family, double value) {
  ClientMetric& metric = family.metric.emplace_back();
  metric.gauge.value = value;
  return metric;
}

void AddOf(MetricFamily& family, const Follower& follower, double value) {
  Add(family, value).label = {{"follower", follower.name},
                              {"role", follower.role ? std::string(model::RoleName(*follower.role)) : ""}};
}

const char* NameOf(FollowerState state) {
  switch (state) {
    case FollowerState::kCurrent:
      return "current";
    case FollowerState::kBehind:
      return "behind";
    case FollowerState::kStuck:
      return "stuck";
    case FollowerState::kAbsent:
      return "absent";
  }
  return "absent";
}

}  // namespace

std::vector<MetricFamily> FleetMetrics::Collect() const {
  const uint64_t head = convergence_.head();
  MetricFamily newest = Gauge("prov_head_revision", "Revision of the newest write");
  MetricFamily applied = Gauge("prov_applied_revision", "Revision that the follower has applied");
  MetricFamily lag = Gauge("prov_lag_revisions", "Revisions that the follower is behind the newest write");
  MetricFamily failing = Gauge("prov_failing_items", "Records set aside with an error");
  MetricFamily state = Gauge("prov_follower_state", "1 for the state that the follower is in");
  Add(newest, static_cast<double>(head));
  for (const Follower& follower : convergence_.Followers(head, true)) {
    AddOf(applied, follower, static_cast<double>(follower.applied_revision));
    AddOf(lag, follower, static_cast<double>(head - std::min(head, follower.applied_revision)));
    AddOf(failing, follower, static_cast<double>(follower.failing_items));
    AddOf(state, follower, 1);
    state.metric.back().label.push_back({"state", NameOf(follower.state)});
  }
  return {newest, applied, lag, failing, state};
}

}  // namespace prov::feed
