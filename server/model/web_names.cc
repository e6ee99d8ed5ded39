#include "server/model/web_names.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"
#include "server/model/validate.h"

namespace prov::model {

absl::Status CheckWebNames(std::string_view field, std::vector<std::string>& names) {
  for (std::string& name : names) {
    PROV_ASSIGN_OR_RETURN(name, CheckDomain(field, name));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() <= kMaxWebNames) return absl::OkStatus();
  return InvalidField(field, fmt::format("has more than {} names", kMaxWebNames));
}

std::vector<std::string> DomainsOver(std::string_view name) {
  std::vector<std::string> domains;
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    domains.emplace_back(name);
    name.remove_prefix(dot + 1);
  }
  return domains;
}

}  // namespace prov::model
