// RFC 5805: start, updates that carry the transaction's control, end.
#include <fmt/format.h>

#include <algorithm>

#include "common/ldap/connection_state.h"
#include "common/ldap/sigpipe_guard.h"

namespace prov::ldap {
namespace {

// The message id of the update that made the commit fail (RFC 5805 section 2.4: the first member of
// txnEndRes), or 0. libldap's ldap_txn_end_s does not understand it and answers "decoding error" in its
// place.
int FailedMessageId(LDAP* handle, LDAPMessage* message) {
  berval* value = nullptr;
  char* oid = nullptr;
  if (ldap_parse_extended_result(handle, message, &oid, &value, 0) != LDAP_SUCCESS) return 0;
  ldap_memfree(oid);
  if (value == nullptr) return 0;
  ber_int_t id = 0;
  if (BerElement* element = ber_init(value)) {
    if (ber_scanf(element, "{i", &id) == LBER_ERROR) id = 0;
    ber_free(element, 1);
  }
  ber_bvfree(value);
  return id;
}

absl::StatusOr<berval*> Start(Connection::State& state) {
  int id = 0;
  if (const int code = ldap_txn_start(state.handle, nullptr, nullptr, &id); code != LDAP_SUCCESS) {
    return state.Check(code, "starting a transaction");
  }
  absl::StatusOr<Message> message = state.Receive(id, /*all=*/true, "starting a transaction");
  if (!message.ok()) return message.status();
  absl::StatusOr<Result> result = state.ParseResult(*message, "starting a transaction");
  if (!result.ok()) return result.status();
  if (result->code != LDAP_SUCCESS) {
    return state.Check(result->code, "starting a transaction", result->diagnostic);
  }
  berval* identifier = nullptr;
  if (const int code = ldap_parse_extended_result(state.handle, message->get(), nullptr, &identifier, 0);
      code != LDAP_SUCCESS) {
    return state.Check(code, "starting a transaction");
  }
  // slapd's identifier is empty: a connection has one transaction at a time.
  return identifier != nullptr ? identifier : ber_bvstrdup("");
}

// Commits, or gives up. The message is for FailedMessageId.
absl::Status End(Connection::State& state, bool commit, berval* identifier, int* failed_id) {
  const char* what = commit ? "committing a transaction" : "giving a transaction up";
  int id = 0;
  if (const int code = ldap_txn_end(state.handle, commit ? 1 : 0, identifier, nullptr, nullptr, &id);
      code != LDAP_SUCCESS) {
    return state.Check(code, what);
  }
  absl::StatusOr<Message> message = state.Receive(id, /*all=*/true, what);
  if (!message.ok()) return message.status();
  absl::StatusOr<Result> result = state.ParseResult(*message, what);
  if (!result.ok()) return result.status();
  if (result->code != LDAP_SUCCESS) *failed_id = FailedMessageId(state.handle, message->get());
  return state.Check(result->code, what, result->diagnostic);
}

// One after the other, each answer awaited: slapd 2.5.13 touches an update after it has answered it, and a
// commit that overtakes that frees it, which crashes slapd. With olcThreads at 2 or 3 it begins no operation
// of a connection before the one before has ended, as long as none is waiting; schema/ldap/slapd.ldif.in says
// so, too.
absl::Status SendAll(Connection::State& state, const std::vector<Write>& writes, berval* identifier,
                     std::vector<int>& ids, Culprit* culprit) {
  char oid[] = LDAP_CONTROL_TXN_SPEC;
  LDAPControl control{oid, *identifier, /*ldctl_iscritical=*/1};
  LDAPControl* controls[] = {&control, nullptr};
  for (const Write& write : writes) {
    const absl::StatusOr<int> id = state.Send(write, controls);
    if (!id.ok()) {
      if (state.Usable().ok()) culprit->index = ids.size();
      return id.status();
    }
    absl::StatusOr<Message> message = state.Receive(*id, /*all=*/true, "write");
    if (!message.ok()) return message.status();
    absl::StatusOr<Result> result = state.ParseResult(*message, "write");
    if (!result.ok()) return result.status();
    // Most are refused at the end only; syntax is checked at once.
    if (result->code != LDAP_SUCCESS) {
      culprit->index = ids.size();
      return state.Check(result->code, "write", result->diagnostic);
    }
    ids.push_back(*id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Connection::ApplyAll(const std::vector<Write>& writes, Culprit* culprit) {
  culprit->index.reset();
  if (absl::Status status = state_->Usable(); !status.ok()) return status;
  const SigpipeGuard guard;
  absl::StatusOr<berval*> started = Start(*state_);
  if (!started.ok()) return started.status();
  const std::unique_ptr<berval, void (*)(berval*)> identifier(*started, ber_bvfree);

  std::vector<int> ids;
  ids.reserve(writes.size());
  absl::Status status = SendAll(*state_, writes, identifier.get(), ids, culprit);
  int failed_id = 0;
  if (!status.ok()) {
    // The first error is what matters; if giving up fails as well, the connection is of no use.
    if (absl::Status ended = End(*state_, /*commit=*/false, identifier.get(), &failed_id);
        !ended.ok() && state_->failure.ok()) {
      state_->failure = absl::UnavailableError(std::string(ended.message()));
    }
    return status;
  }
  status = End(*state_, /*commit=*/true, identifier.get(), &failed_id);
  if (!status.ok() && failed_id != 0) {
    const auto found = std::find(ids.begin(), ids.end(), failed_id);
    if (found != ids.end()) culprit->index = static_cast<size_t>(found - ids.begin());
  }
  return status;
}

}  // namespace prov::ldap
