#include "common/ldap/password.h"

#include <lber.h>
#include <ldap.h>

#include "common/ldap/connection.h"
#include "common/ldap/connection_state.h"
#include "common/ldap/sigpipe_guard.h"

namespace prov::ldap {
namespace {

struct Element {
  ber_tag_t tag = 0;
  std::string_view content;
};

// The first one, taken off the front (X.690 sections 8.1.2 and 8.1.3): tags of one octet, definite lengths.
// liblber itself crashes on some that are cut off.
std::optional<Element> TakeElement(std::string_view& octets) {
  constexpr size_t kMostLengthOctets = 4;
  if (octets.size() < 2) return std::nullopt;
  Element element;
  element.tag = static_cast<unsigned char>(octets[0]);
  size_t length = static_cast<unsigned char>(octets[1]);
  octets.remove_prefix(2);
  if (length >= 0x80) {
    const size_t count = length - 0x80;
    if (count == 0 || count > kMostLengthOctets || count > octets.size()) return std::nullopt;
    length = 0;
    for (size_t i = 0; i < count; ++i) length = length << 8 | static_cast<unsigned char>(octets[i]);
    octets.remove_prefix(count);
  }
  if (length > octets.size()) return std::nullopt;
  element.content = octets.substr(0, length);
  octets.remove_prefix(length);
  return element;
}

absl::Status Malformed() { return absl::InvalidArgumentError("is no PasswdModifyRequestValue"); }

// Whose change it is not: another server's, or nobody's.
bool IsNotForThisServer(int code) {
  return code == LDAP_REFERRAL || code == LDAP_PROTOCOL_ERROR || code == LDAP_INSUFFICIENT_ACCESS ||
         code == LDAP_UNWILLING_TO_PERFORM || code == LDAP_STRONG_AUTH_REQUIRED ||
         code == LDAP_CONFIDENTIALITY_REQUIRED || code == LDAP_UNAVAILABLE_CRITICAL_EXTENSION;
}

}  // namespace

absl::Status Connection::ChangePassword(const std::string& dn, const std::string& old_password,
                                        const std::string& new_password) {
  if (absl::Status status = state_->Usable(); !status.ok()) return status;
  const SigpipeGuard guard;
  // libldap only reads them.
  berval identity{dn.size(), const_cast<char*>(dn.data())};
  berval before{old_password.size(), const_cast<char*>(old_password.data())};
  berval after{new_password.size(), const_cast<char*>(new_password.data())};
  int id = 0;
  const int sent = ldap_passwd(state_->handle, &identity, &before, &after, nullptr, nullptr, &id);
  if (sent != LDAP_SUCCESS) return state_->Check(sent, "password change");
  absl::StatusOr<Message> message = state_->Receive(id, /*all=*/true, "password change");
  if (!message.ok()) return message.status();
  absl::StatusOr<Result> result = state_->ParseResult(*message, "password change");
  if (!result.ok()) return result.status();
  if (result->code == LDAP_CONSTRAINT_VIOLATION) return absl::InvalidArgumentError(result->diagnostic);
  absl::Status status = state_->Check(result->code, "password change of " + dn, result->diagnostic);
  if (IsNotForThisServer(result->code)) return absl::FailedPreconditionError(status.message());
  return status;
}

absl::StatusOr<PasswordModify> ParsePasswordModify(std::string_view octets) {
  const std::optional<Element> sequence = TakeElement(octets);
  if (!sequence.has_value() || sequence->tag != LBER_SEQUENCE || !octets.empty()) return Malformed();
  PasswordModify request;
  std::optional<std::string>* const fields[] = {&request.identity, &request.old_password,
                                                &request.new_password};
  std::string_view left = sequence->content;
  for (ber_tag_t next = LDAP_TAG_EXOP_MODIFY_PASSWD_ID; !left.empty();) {
    const std::optional<Element> field = TakeElement(left);
    // In order, each at most once.
    if (!field.has_value() || field->tag < next || field->tag > LDAP_TAG_EXOP_MODIFY_PASSWD_NEW)
      return Malformed();
    *fields[field->tag - LDAP_TAG_EXOP_MODIFY_PASSWD_ID] = std::string(field->content);
    next = field->tag + 1;
  }
  return request;
}

}  // namespace prov::ldap
