// One connection to an LDAP server, over libldap, without its header.
//
// Passwords never travel in clear: ldapi, ldaps, or ldap with StartTLS; anything else is refused.
// A connection that failed once stays failed (UNAVAILABLE): libldap would open a new one in silence, which
// would be anonymous and, after StartTLS, in clear.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ldap/entry.h"
#include "common/ldap/filter.h"

namespace prov::ldap {

struct ConnectOptions {
  std::string uri;  // one server: "ldapi://%2Frun%2Fslapd%2Fldapi", "ldaps://host", "ldap://host"
  std::string ca;   // PEM file; empty: the system's
  bool starttls = false;
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(3);
  std::chrono::milliseconds operation_timeout = std::chrono::seconds(3);
};

// INVALID_ARGUMENT unless the options can be used without a password in clear.
absl::Status CheckConnectOptions(const ConnectOptions& options);

enum class Scope { kBase, kOneLevel, kSubtree };

struct SearchRequest {
  std::string base;
  Scope scope = Scope::kSubtree;
  Filter filter;
  std::vector<std::string>
      attributes;      // empty: all user attributes; {"1.1"}: none (RFC 4511 section 4.5.1.8)
  int size_limit = 0;  // entries; 0: the server's
};

// Of a failed transaction: which of its writes was at fault, as far as the server told.
struct Culprit {
  std::optional<size_t> index;
};

// Not thread-safe. Each call takes at most the operation time-out between two messages of the server; EndBy
// bounds them together.
class Connection {
 public:
  // Connects, with TLS where asked for; not bound yet.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Simple bind. INVALID_ARGUMENT for an empty password, without asking the server: it would bind nobody and
  // call that success (RFC 4513 section 5.1.2).
  absl::Status Bind(const std::string& dn, const std::string& password);

  // The operation of RFC 3062, for `dn`. INVALID_ARGUMENT: the server refuses this new password, and the
  // message is its words alone. FAILED_PRECONDITION: this server changes no passwords, or not this one.
  absl::Status ChangePassword(const std::string& dn, const std::string& old_password,
                              const std::string& new_password);

  // NOT_FOUND when the base is not there, or not to be seen; OUT_OF_RANGE beyond the size limit.
  absl::StatusOr<std::vector<Entry>> Search(const SearchRequest& request);

  // The same, an entry at a time; memory does not grow with the number of entries. When `each` answers an
  // error, the search is abandoned with it.
  absl::Status SearchEach(const SearchRequest& request, const std::function<absl::Status(Entry)>& each);

  // The root DSE says so (RFC 5805 section 2).
  absl::StatusOr<bool> OffersTransactions();

  absl::Status Apply(const Write& write);

  // All or nothing (RFC 5805). Writes must not depend on each other's order. After UNAVAILABLE or
  // DEADLINE_EXCEEDED either may be the case.
  absl::Status ApplyAll(const std::vector<Write>& writes, Culprit* culprit);

  // Whatever the server sends or does not send, calls end by then, and the connection is of no more use if
  // one was under way.
  void EndBy(std::chrono::steady_clock::time_point deadline);
  // Takes that back: the connection waits for its next use.
  void EndWhenever();

  // Whether it has not failed yet.
  bool IsUsable() const;
  // Between two uses: the server has not closed it, and has not said anything nobody asked for.
  bool IsQuiet() const;
  // In the child of a fork: what is closed here must not be closed for the parent. Async-signal-safe.
  void LeaveToParent();

  struct State;  // for this directory's own files

 private:
  explicit Connection(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace prov::ldap
