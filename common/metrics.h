// Prometheus metrics: one registry a program, served over HTTP.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prov {

// Lives for ever; thread-safe.
std::shared_ptr<prometheus::Registry> MetricsRegistry();

// Serves /metrics until destroyed. UNAVAILABLE when the address cannot be bound.
class MetricsServer {
 public:
  // "host:port".
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address);
  virtual ~MetricsServer() = default;
  // What is asked whenever metrics are read, besides the registry. Thread-safe, and may end at any time.
  virtual void Add(std::weak_ptr<prometheus::Collectable> source) = 0;
};

}  // namespace prov
