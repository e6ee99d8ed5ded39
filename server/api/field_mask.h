// Update masks, as AIP-134 has them.
#pragma once

#include <google/protobuf/field_mask.pb.h>

#include <initializer_list>
#include <string_view>

#include "absl/status/status.h"

namespace prov::api {

// INVALID_ARGUMENT on `update_mask` if it names anything but `fields`.
absl::Status CheckMask(const google::protobuf::FieldMask& mask,
                       std::initializer_list<std::string_view> fields);

// Whether the field is to be written: an empty mask means those that are set.
bool IsNamed(const google::protobuf::FieldMask& mask, std::string_view path, bool is_set);

}  // namespace prov::api
