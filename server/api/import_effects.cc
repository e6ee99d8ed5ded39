#include "server/api/import_effects.h"

#include <map>
#include <optional>
#include <string>

#include "server/feed/projection.h"

namespace prov::api {
namespace {

struct Count {
  uint64_t adds = 0, changes = 0, removals = 0;

  template <typename View>
  void Add(const std::optional<View>& before, const std::optional<View>& after, bool same) {
    if (!before && after) ++adds;
    if (before && !after) ++removals;
    if (before && after && !same) ++changes;
  }
};

v1::ImportEffect EffectOf(const std::string& follower, const Count& count) {
  v1::ImportEffect effect;
  effect.set_follower(follower);
  effect.set_adds(count.adds);
  effect.set_changes(count.changes);
  effect.set_removals(count.removals);
  return effect;
}

Count DirectoryCount(const std::vector<ImportStep>& steps, const directory::MappingOptions& mapping) {
  Count count;
  for (const ImportStep& step : steps) {
    if (step.action == v1::ImportResult::REFUSED || step.action == v1::ImportResult::UNCHANGED) continue;
    std::optional<ldap::Entry> before;
    if (step.action != v1::ImportResult::ADDED) before = directory::SubscriberEntry(step.before, mapping);
    const std::optional<ldap::Entry> after = directory::SubscriberEntry(step.after, mapping);
    count.Add(before, after, before && after && *before == *after);
  }
  return count;
}

Count ViewCount(const std::vector<ImportStep>& steps, const feed::Viewer& viewer) {
  Count count;
  for (const ImportStep& step : steps) {
    if (step.action == v1::ImportResult::REFUSED || step.action == v1::ImportResult::UNCHANGED) continue;
    std::optional<v1::Record> before;
    if (step.action != v1::ImportResult::ADDED) before = feed::ProjectSubscriber(viewer, step.before);
    const std::optional<v1::Record> after = feed::ProjectSubscriber(viewer, step.after);
    count.Add(before, after, before && after && before->SerializeAsString() == after->SerializeAsString());
  }
  return count;
}

}  // namespace

std::vector<v1::ImportEffect> EffectsOf(const std::vector<ImportStep>& steps, const feed::Fleet& fleet,
                                        const directory::MappingOptions& mapping) {
  std::vector<v1::ImportEffect> effects = {EffectOf("directory", DirectoryCount(steps, mapping))};
  std::map<feed::Viewer, Count> counted;  // pools of one role have one view, but for stores
  for (const model::Pool& pool : fleet.pools) {
    if (!feed::SeesSubscribers(pool.role)) continue;
    const feed::Viewer viewer{pool.role, pool.role == model::Role::kStore ? pool.id : ""};
    const auto [count, first] = counted.try_emplace(viewer);
    if (first) count->second = ViewCount(steps, viewer);
    effects.push_back(EffectOf("pools/" + pool.id, count->second));
  }
  return effects;
}

}  // namespace prov::api
