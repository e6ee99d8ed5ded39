#include "server/api/field_mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/status.h"
#include "server/model/validate.h"

namespace prov::api {

absl::Status CheckMask(const google::protobuf::FieldMask& mask,
                       std::initializer_list<std::string_view> fields) {
  for (const std::string& path : mask.paths()) {
    if (std::find(fields.begin(), fields.end(), path) == fields.end()) {
      return InvalidField("update_mask", fmt::format("{} cannot be updated; there are {}", model::Echo(path),
                                                     fmt::join(fields, ", ")));
    }
  }
  return absl::OkStatus();
}

bool IsNamed(const google::protobuf::FieldMask& mask, std::string_view path, bool is_set) {
  if (mask.paths().empty()) return is_set;
  return std::find(mask.paths().begin(), mask.paths().end(), path) != mask.paths().end();
}

}  // namespace prov::api
