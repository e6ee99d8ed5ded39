#include "server/directory/password_request.h"

#include <fmt/format.h>
#include <string.h>

#include <map>
#include <optional>

#include "absl/strings/escaping.h"
#include "common/ldap/dn.h"
#include "common/ldap/password.h"
#include "common/mail_address.h"
#include "common/status.h"
#include "server/directory/mapping.h"

namespace prov::directory {
namespace {

constexpr std::string_view kCommand = "EXTENDED";
constexpr size_t kMaxTextOctets = 200;

// RFC 4511 appendix A.
enum ResultCode {
  kSuccess = 0,
  kConstraintViolation = 19,
  kInvalidCredentials = 49,
  kInsufficientAccess = 50,
  kBusy = 51,
  kUnavailable = 52,
  kUnwilling = 53,
  kOther = 80,
};

absl::Status Malformed() { return absl::InvalidArgumentError("is no password change"); }

using Fields = std::map<std::string_view, std::string_view>;

// "name: value" lines below the command's. Twice the same says two things, but for suffixes, which may be
// several.
std::optional<Fields> ReadFields(std::string_view text) {
  Fields fields;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.empty()) return text.empty() ? std::optional(fields) : std::nullopt;
    const size_t colon = line.find(": ");
    if (colon == line.npos) return std::nullopt;
    const std::string_view name = line.substr(0, colon);
    if (!fields.emplace(name, line.substr(colon + 2)).second && name != "suffix") return std::nullopt;
  }
  return std::nullopt;  // no blank line: cut off
}

std::string_view FieldOf(const Fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string_view() : found->second;
}

absl::StatusOr<ldap::PasswordModify> ReadValue(std::string_view base64) {
  std::string octets;
  if (!absl::Base64Unescape(absl::string_view(base64.data(), base64.size()), &octets)) return Malformed();
  absl::StatusOr<ldap::PasswordModify> value = ldap::ParsePasswordModify(octets);
  explicit_bzero(octets.data(), octets.size());
  return value;
}

// As provd knows it, whoever wrote the name and how: the directory does not tell cases apart.
std::optional<std::string> LoginIn(const std::string& dn, const std::string& base) {
  const std::optional<std::string> login = ldap::ChildValue("uid", dn, PeopleDn(base));
  return login.has_value() ? std::optional(FoldAddress(*login)) : std::nullopt;
}

bool IsPassword(const std::optional<std::string>& text) {
  return text.has_value() && !text->empty() && text->find('\0') == std::string::npos;
}

int CodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kSuccess;
    case absl::StatusCode::kInvalidArgument:
      return kConstraintViolation;
    case absl::StatusCode::kUnauthenticated:
      return kInvalidCredentials;
    case absl::StatusCode::kPermissionDenied:
      return kInsufficientAccess;
    case absl::StatusCode::kResourceExhausted:
      return kBusy;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return kUnavailable;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
      return kUnwilling;
    default:
      return kOther;
  }
}

std::string_view TextOf(int code, const absl::Status& status) {
  switch (code) {
    case kSuccess:
      return "";
    case kUnavailable:
      return "the password cannot be changed now";
    case kOther:
      return "the password cannot be changed";
    default:
      return MessageOf(status);
  }
}

}  // namespace

absl::StatusOr<PasswordRequest> ParsePasswordRequest(std::string_view text, const std::string& base) {
  if (text.size() > kMaxPasswordRequestOctets || !text.starts_with(kCommand) ||
      text.substr(kCommand.size(), 1) != "\n") {
    return Malformed();
  }
  const std::optional<Fields> fields = ReadFields(text.substr(kCommand.size() + 1));
  if (!fields.has_value() || FieldOf(*fields, "oid") != ldap::kPasswordModifyOid) return Malformed();
  const std::optional<std::string> login = LoginIn(std::string(FieldOf(*fields, "binddn")), base);
  if (!login.has_value()) return absl::PermissionDeniedError("only subscribers change their passwords here");
  const std::string_view protection = FieldOf(*fields, "ssf");
  if (protection.empty() || protection == "0")
    return absl::PermissionDeniedError("a password must not travel in clear");
  PROV_ASSIGN_OR_RETURN(ldap::PasswordModify value, ReadValue(FieldOf(*fields, "value")));
  if (value.identity.has_value() && LoginIn(*value.identity, base) != login)
    return absl::PermissionDeniedError("nobody changes another's password here");
  // Whoever bound long ago may have had a password that is no longer right.
  if (!IsPassword(value.old_password)) return absl::FailedPreconditionError("the current password is needed");
  if (!IsPassword(value.new_password))
    return absl::FailedPreconditionError("the new password is needed; none is made up here");
  return PasswordRequest{*login, std::string(FieldOf(*fields, "peername")), *std::move(value.old_password),
                         *std::move(value.new_password)};
}

std::string PasswordReply(const absl::Status& status) {
  const int code = CodeOf(status);
  std::string text(TextOf(code, status).substr(0, kMaxTextOctets));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text.empty() ? fmt::format("RESULT\ncode: {}\n", code)
                      : fmt::format("RESULT\ncode: {}\ninfo:{}\n", code, text);
}

}  // namespace prov::directory
