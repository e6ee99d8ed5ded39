// What Connection keeps of libldap; for this directory only.
#pragma once

#include <lber.h>
#include <ldap.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/ldap/connection.h"
#include "common/ldap/socket.h"

namespace prov::ldap {

struct MessageDeleter {
  void operator()(LDAPMessage* message) const { ldap_msgfree(message); }
};
using Message = std::unique_ptr<LDAPMessage, MessageDeleter>;

// A result message (RFC 4511 section 4.1.9).
struct Result {
  int code = LDAP_SUCCESS;
  std::string diagnostic;
};

struct Connection::State {
  explicit State(const ConnectOptions& options) : options(options) {}
  ~State();

  // Which server, and no more.
  std::string Where() const { return "LDAP server " + options.uri; }

  absl::Status Usable() const;
  // Turns a code into a status; marks the connection as failed when it is.
  absl::Status Check(int code, std::string_view what, std::string_view diagnostic = "");
  // The handle's last error, for calls that answer -1.
  absl::Status LastError(std::string_view what);

  // The next message to `id`: `all` waits for the last one. DEADLINE_EXCEEDED after the operation time-out.
  absl::StatusOr<Message> Receive(int id, bool all, std::string_view what);
  absl::StatusOr<Result> ParseResult(const Message& message, std::string_view what);

  // Sends a write, within a transaction where there is one.
  absl::StatusOr<int> Send(const Write& write, LDAPControl** controls);

  const ConnectOptions options;
  LDAP* handle = nullptr;
  int socket = -1;  // the handle's
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::unique_ptr<SocketDeadline> watch;  // of `deadline`, where TLS hides from libldap how little came
  absl::Status failure;                   // OK while usable
};

// LDAPMod arrays as libldap wants them, kept together with what they point to.
class ModificationList {
 public:
  explicit ModificationList(const std::vector<Modification>& modifications);
  explicit ModificationList(const Attributes& attributes);
  LDAPMod** get() { return pointers_.data(); }

 private:
  struct One {
    LDAPMod mod{};
    std::string attribute;
    std::vector<std::string> values;
    std::vector<berval> bervals;
    std::vector<berval*> pointers;
  };
  void Append(int operation, const std::string& attribute, const Values& values);
  void Finish();

  std::vector<std::unique_ptr<One>> list_;
  std::vector<LDAPMod*> pointers_;
};

}  // namespace prov::ldap
