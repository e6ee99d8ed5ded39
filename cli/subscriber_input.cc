#include "cli/subscriber_input.h"

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/password_prompt.h"
#include "common/status.h"
#include "common/utf8.h"

namespace prov::cli {

std::string ResourceOf(const std::string& login) { return "subscribers/" + login; }

absl::Status CheckUtf8(std::string_view field, std::string_view text) {
  if (IsValidUtf8(text)) return absl::OkStatus();
  return InvalidField(field, fmt::format("\"{}\" is not valid UTF-8", Safe(text.substr(0, 60))));
}

absl::Status SetLabels(const std::vector<std::string>& labels, v1::Subscriber& subscriber) {
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidField("--label", fmt::format("\"{}\" is not KEY=VALUE", Safe(label.substr(0, 60))));
    }
    PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.labels", label));
    (*subscriber.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::Status SetWebNames(const std::vector<std::string>& names, v1::Subscriber& subscriber) {
  for (const std::string& name : names) {
    PROV_RETURN_IF_ERROR(CheckUtf8("subscriber.web_names", name));
    subscriber.add_web_names(name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> GetPassword(const PasswordSource& source, const std::string& login) {
  if (source.none) return std::string();
  absl::StatusOr<std::string> password =
      source.from_stdin
          ? ReadPasswordFromStdin()
          : PromptForPassword(Safe(login),
                              source.none_is_offered
                                  ? "there is no terminal to ask on; use --password-stdin, or --no-password "
                                    "for a subscriber who cannot log in yet"
                                  : "there is no terminal to ask on; use --password-stdin");
  if (!password.ok()) return password;
  if (password->empty()) return InvalidField("password", "is empty");
  if (!IsValidUtf8(*password)) return InvalidField("password", "is not valid UTF-8");
  return password;
}

}  // namespace prov::cli
