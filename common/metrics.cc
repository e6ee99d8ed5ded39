#include "common/metrics.h"

#include <fmt/format.h>
#include <prometheus/exposer.h>

namespace prov {
namespace {

class ExposedMetrics final : public MetricsServer {
 public:
  explicit ExposedMetrics(const std::string& address) : exposer_(address) {
    exposer_.RegisterCollectable(MetricsRegistry());
  }

  void Add(std::weak_ptr<prometheus::Collectable> source) override { exposer_.RegisterCollectable(source); }

 private:
  prometheus::Exposer exposer_;
};

}  // namespace

std::shared_ptr<prometheus::Registry> MetricsRegistry() {
  static const auto registry = std::make_shared<prometheus::Registry>();
  return registry;
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address) {
  try {
    return std::make_unique<ExposedMetrics>(address);
  } catch (const std::exception& error) {
    return absl::UnavailableError(fmt::format("metrics on {}: {}", address, error.what()));
  }
}

}  // namespace prov
