// What several commands read about a subscriber.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

// "subscribers/LOGIN".
std::string ResourceOf(const std::string& login);

// protobuf would refuse to send it without saying which field it was.
absl::Status CheckUtf8(std::string_view field, std::string_view text);

// "KEY=VALUE" each.
absl::Status SetLabels(const std::vector<std::string>& labels, v1::Subscriber& subscriber);

absl::Status SetWebNames(const std::vector<std::string>& names, v1::Subscriber& subscriber);

struct PasswordSource {
  bool from_stdin = false;
  bool none = false;             // no password at all
  bool none_is_offered = false;  // the command has --no-password
};
absl::StatusOr<std::string> GetPassword(const PasswordSource& source, const std::string& login);

}  // namespace prov::cli
