#include "common/ldap/connection_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "common/ldap/result.h"

namespace prov::ldap {
namespace {

timeval ToTimeval(std::chrono::milliseconds duration) {
  return {.tv_sec = duration.count() / 1000, .tv_usec = (duration.count() % 1000) * 1000};
}

int OperationOf(Modification::Kind kind) {
  switch (kind) {
    case Modification::Kind::kAdd:
      return LDAP_MOD_ADD;
    case Modification::Kind::kDelete:
      return LDAP_MOD_DELETE;
    case Modification::Kind::kReplace:
      break;
  }
  return LDAP_MOD_REPLACE;
}

// After these the connection says nothing sensible any more: a late answer must not be taken for another's.
bool EndsConnection(int code) {
  return code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR || code == LDAP_TIMEOUT ||
         code == LDAP_DECODING_ERROR || code == LDAP_ENCODING_ERROR || code == LDAP_LOCAL_ERROR ||
         code == LDAP_NO_MEMORY;
}

}  // namespace

Connection::State::~State() {
  if (handle != nullptr) ldap_unbind_ext(handle, nullptr, nullptr);
}

absl::Status Connection::State::Usable() const { return failure; }

absl::Status Connection::State::Check(int code, std::string_view what, std::string_view diagnostic) {
  absl::Status status = ResultStatus(code, fmt::format("{}: {}", Where(), what), diagnostic);
  if (EndsConnection(code)) failure = absl::UnavailableError(std::string(status.message()));
  return status;
}

absl::Status Connection::State::LastError(std::string_view what) {
  int code = LDAP_OTHER;
  ldap_get_option(handle, LDAP_OPT_RESULT_CODE, &code);
  if (code == LDAP_SUCCESS) code = LDAP_LOCAL_ERROR;
  return Check(code, what);
}

absl::StatusOr<Message> Connection::State::Receive(int id, bool all, std::string_view what) {
  auto patience = options.operation_timeout;
  if (deadline) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Check(LDAP_TIMEOUT, what);
    patience = std::min(patience, left);
  }
  timeval timeout = ToTimeval(patience);
  LDAPMessage* received = nullptr;
  const int type = ldap_result(handle, id, all ? LDAP_MSG_ALL : LDAP_MSG_ONE, &timeout, &received);
  Message message(received);
  if (type == 0) return Check(LDAP_TIMEOUT, what);
  if (type == -1) return LastError(what);
  return message;
}

absl::StatusOr<Result> Connection::State::ParseResult(const Message& message, std::string_view what) {
  Result result;
  char* diagnostic = nullptr;
  const int parsed =
      ldap_parse_result(handle, message.get(), &result.code, nullptr, &diagnostic, nullptr, nullptr, 0);
  if (diagnostic != nullptr) {
    result.diagnostic = diagnostic;
    ldap_memfree(diagnostic);
  }
  if (parsed != LDAP_SUCCESS) return Check(parsed, what);
  return result;
}

absl::StatusOr<int> Connection::State::Send(const Write& write, LDAPControl** controls) {
  int id = 0;
  int code = LDAP_SUCCESS;
  if (const Add* add = std::get_if<Add>(&write)) {
    ModificationList list(add->entry.attributes);
    code = ldap_add_ext(handle, add->entry.dn.c_str(), list.get(), controls, nullptr, &id);
  } else if (const Modify* modify = std::get_if<Modify>(&write)) {
    ModificationList list(modify->modifications);
    code = ldap_modify_ext(handle, modify->dn.c_str(), list.get(), controls, nullptr, &id);
  } else {
    code = ldap_delete_ext(handle, std::get<Delete>(write).dn.c_str(), controls, nullptr, &id);
  }
  if (code != LDAP_SUCCESS) return Check(code, "sending a write");
  return id;
}

ModificationList::ModificationList(const std::vector<Modification>& modifications) {
  for (const Modification& modification : modifications) {
    Append(OperationOf(modification.kind), modification.attribute, modification.values);
  }
  Finish();
}

ModificationList::ModificationList(const Attributes& attributes) {
  for (const auto& [attribute, values] : attributes) Append(LDAP_MOD_ADD, attribute, values);
  Finish();
}

void ModificationList::Append(int operation, const std::string& attribute, const Values& values) {
  auto one = std::make_unique<One>();
  one->attribute = attribute;
  one->values = values;
  for (std::string& value : one->values) one->bervals.push_back({value.size(), value.data()});
  for (berval& value : one->bervals) one->pointers.push_back(&value);
  one->pointers.push_back(nullptr);
  one->mod.mod_op = operation | LDAP_MOD_BVALUES;
  one->mod.mod_type = one->attribute.data();
  one->mod.mod_bvalues = values.empty() ? nullptr : one->pointers.data();
  list_.push_back(std::move(one));
}

void ModificationList::Finish() {
  for (const auto& one : list_) pointers_.push_back(&one->mod);
  pointers_.push_back(nullptr);
}

}  // namespace prov::ldap
