#include "server/api/subscriber_update.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/status.h"
#include "server/api/resource_names.h"
#include "server/api/translation.h"
#include "server/model/validate.h"
#include "server/model/web_names.h"

namespace prov::api {
namespace {

constexpr size_t kMaxMaskPaths = 32;

model::Entitlements EntitlementsOf(const v1::Entitlements& proto) {
  return {proto.mail(), proto.ftp(), proto.web()};
}

std::map<std::string, std::string> LabelsOf(const v1::Subscriber& proto) {
  return {proto.labels().begin(), proto.labels().end()};
}

// One updatable field: its path, whether the message sets it, its check and its assignment.
struct UpdatableField {
  std::string_view path;
  bool (*is_set)(const v1::Subscriber&);
  absl::Status (*check)(const v1::Subscriber&);
  void (*apply)(const v1::Subscriber&, model::Subscriber&);
};

absl::StatusOr<std::vector<std::string>> WebNamesOf(const v1::Subscriber& proto) {
  std::vector<std::string> names(proto.web_names().begin(), proto.web_names().end());
  PROV_RETURN_IF_ERROR(model::CheckWebNames("subscriber.web_names", names));
  return names;
}

absl::Status Good(const v1::Subscriber&) { return absl::OkStatus(); }

constexpr UpdatableField kFields[] = {
    {"display_name", [](const v1::Subscriber& p) { return !p.display_name().empty(); },
     [](const v1::Subscriber& p) {
       return model::CheckText("subscriber.display_name", p.display_name(), model::kMaxDisplayNameCharacters);
     },
     [](const v1::Subscriber& p, model::Subscriber& s) { s.display_name = p.display_name(); }},
    {"quota_bytes", [](const v1::Subscriber& p) { return p.quota_bytes() != 0; },
     [](const v1::Subscriber& p) { return model::CheckQuota("subscriber.quota_bytes", p.quota_bytes()); },
     [](const v1::Subscriber& p, model::Subscriber& s) { s.quota_bytes = p.quota_bytes(); }},
    {"plan", [](const v1::Subscriber& p) { return !p.plan().empty(); },
     [](const v1::Subscriber& p) { return model::CheckPlan("subscriber.plan", p.plan()); },
     [](const v1::Subscriber& p, model::Subscriber& s) { s.plan = p.plan(); }},
    {"labels", [](const v1::Subscriber& p) { return p.labels_size() > 0; },
     [](const v1::Subscriber& p) { return model::CheckLabels("subscriber.labels", LabelsOf(p)); },
     [](const v1::Subscriber& p, model::Subscriber& s) { s.labels = LabelsOf(p); }},
    {"entitlements", [](const v1::Subscriber& p) { return p.has_entitlements(); }, &Good,
     [](const v1::Subscriber& p, model::Subscriber& s) {
       s.entitlements = EntitlementsOf(p.entitlements());
     }},
    {"web_names", [](const v1::Subscriber& p) { return p.web_names_size() > 0; },
     [](const v1::Subscriber& p) { return WebNamesOf(p).status(); },
     [](const v1::Subscriber& p, model::Subscriber& s) { s.web_names = WebNamesOf(p).value(); }},
};

bool IsNamed(const v1::UpdateSubscriberRequest& request, const UpdatableField& field) {
  const auto& paths = request.update_mask().paths();
  if (paths.empty()) return field.is_set(request.subscriber());
  return std::find(paths.begin(), paths.end(), field.path) != paths.end();
}

}  // namespace

absl::StatusOr<model::Subscriber> NewSubscriber(const v1::Subscriber& proto) {
  model::Subscriber s;
  if (proto.login().empty())
    return InvalidField("subscriber.login", "is required, such as alice@example.net");
  PROV_ASSIGN_OR_RETURN(const MailAddress login, model::CheckAddress("subscriber.login", proto.login()));
  s.login = login.ToString();
  for (const UpdatableField& field : kFields) {
    PROV_RETURN_IF_ERROR(field.check(proto));
    if (field.is_set(proto)) field.apply(proto, s);
  }
  PROV_ASSIGN_OR_RETURN(s.forward, ForwardOf("subscriber.forward", proto.forward()));
  if (!proto.store_pool().empty()) {
    PROV_ASSIGN_OR_RETURN(s.store_pool, PoolKeyOf("subscriber.store_pool", proto.store_pool()));
  }
  return s;
}

absl::StatusOr<model::Forward> ForwardOf(std::string_view field, const v1::Forward& proto) {
  model::Forward forward{{proto.targets().begin(), proto.targets().end()}, proto.keep_copy()};
  PROV_RETURN_IF_ERROR(model::CheckForward(field, forward));
  return forward;
}

absl::Status CheckUpdate(const v1::UpdateSubscriberRequest& request) {
  const auto& paths = request.update_mask().paths();
  if (static_cast<size_t>(paths.size()) > kMaxMaskPaths)
    return InvalidField("update_mask", "has too many paths");
  for (const std::string& path : paths) {
    const bool known = std::any_of(std::begin(kFields), std::end(kFields),
                                   [&](const UpdatableField& field) { return field.path == path; });
    if (!known) {
      return InvalidField(
          "update_mask",
          fmt::format("{} cannot be updated; there are display_name, quota_bytes, plan, labels, "
                      "entitlements and web_names, and methods for the rest",
                      model::Echo(path)));
    }
  }
  for (const UpdatableField& field : kFields) {
    if (IsNamed(request, field)) PROV_RETURN_IF_ERROR(field.check(request.subscriber()));
  }
  return absl::OkStatus();
}

void ApplyUpdate(const v1::UpdateSubscriberRequest& request, model::Subscriber& subscriber) {
  for (const UpdatableField& field : kFields) {
    if (IsNamed(request, field)) field.apply(request.subscriber(), subscriber);
  }
}

}  // namespace prov::api
