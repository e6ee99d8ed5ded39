#include "common/ldap/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openldap.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/ldap/connection_state.h"
#include "common/ldap/sigpipe_guard.h"
#include "common/ldap/socket.h"

namespace prov::ldap {
namespace {

constexpr char kTransactionStartOid[] = "1.3.6.1.1.21.1";  // RFC 5805 section 2.1
constexpr auto kLongestTimeout = std::chrono::hours(1);
constexpr std::chrono::microseconds kLongestRead(50'000);

// Every option that an ldap.conf or the environment could set otherwise, and that matters.
int SetOptions(LDAP* handle, const ConnectOptions& options, bool tls) {
  const int version = LDAP_VERSION3;
  const int demand = LDAP_OPT_X_TLS_DEMAND;
  const int never = LDAP_DEREF_NEVER;
  const int no_limit = LDAP_NO_LIMIT;
  const int least_tls = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
  const timeval operation{.tv_sec = options.operation_timeout.count() / 1000,
                          .tv_usec = (options.operation_timeout.count() % 1000) * 1000};
  const timeval none{.tv_sec = -1, .tv_usec = 0};
  int code = LDAP_OPT_SUCCESS;
  const auto set = [&](int option, const void* value) {
    if (code == LDAP_OPT_SUCCESS) code = ldap_set_option(handle, option, value);
  };
  set(LDAP_OPT_PROTOCOL_VERSION, &version);
  set(LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  set(LDAP_OPT_RESTART, LDAP_OPT_ON);
  set(LDAP_OPT_DEREF, &never);
  set(LDAP_OPT_SIZELIMIT, &no_limit);
  set(LDAP_OPT_TIMELIMIT, &no_limit);
  set(LDAP_OPT_NETWORK_TIMEOUT, &none);  // see socket.h
  set(LDAP_OPT_TIMEOUT, &operation);
  if (!tls) return code;
  set(LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  set(LDAP_OPT_X_TLS_PROTOCOL_MIN, &least_tls);
  if (!options.ca.empty()) set(LDAP_OPT_X_TLS_CACERTFILE, options.ca.c_str());
  const int client_side = 0;
  set(LDAP_OPT_X_TLS_NEWCTX, &client_side);
  return code;
}

absl::Status StartTls(Connection::State& state, Endpoint::Scheme scheme, int socket) {
  const SocketDeadline deadline(socket, state.options.connect_timeout);
  // Both verify the certificate against the URI's host.
  const int code = scheme == Endpoint::Scheme::kLdaps ? ldap_install_tls(state.handle)
                                                      : ldap_start_tls_s(state.handle, nullptr, nullptr);
  if (code == LDAP_SUCCESS) return absl::OkStatus();
  char* detail = nullptr;
  ldap_get_option(state.handle, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
  const absl::Status status = state.Check(code, "starting TLS", detail != nullptr ? detail : "");
  ldap_memfree(detail);
  return absl::UnavailableError(std::string(status.message()));
}

Entry ToEntry(LDAP* handle, LDAPMessage* message) {
  Entry entry;
  if (char* dn = ldap_get_dn(handle, message)) {
    entry.dn = dn;
    ldap_memfree(dn);
  }
  BerElement* position = nullptr;
  for (char* name = ldap_first_attribute(handle, message, &position); name != nullptr;
       name = ldap_next_attribute(handle, message, position)) {
    Values& values = entry.attributes[name];
    if (berval** found = ldap_get_values_len(handle, message, name)) {
      for (berval** value = found; *value != nullptr; ++value) {
        values.emplace_back((*value)->bv_val, (*value)->bv_len);
      }
      ldap_value_free_len(found);
    }
    ldap_memfree(name);
  }
  if (position != nullptr) ber_free(position, 0);
  return entry;
}

}  // namespace

absl::Status CheckConnectOptions(const ConnectOptions& options) {
  const std::string& uri = options.uri;
  const auto wrong = [&uri](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("LDAP URI {:?}: {}", uri, why));
  };
  if (uri.find_first_of(" \t,") != std::string::npos || uri.find('\0') != std::string::npos) {
    return wrong("holds a space, comma or NUL; name one server");
  }
  absl::StatusOr<Endpoint> endpoint = ParseUri(uri);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->scheme == Endpoint::Scheme::kLdap && !options.starttls) {
    return wrong("passwords would travel in clear; set starttls, or use ldaps:// or ldapi://");
  }
  for (const auto timeout : {options.connect_timeout, options.operation_timeout}) {
    if (timeout <= timeout.zero() || timeout > kLongestTimeout) return wrong("time-outs are 1ms to 1h");
  }
  return absl::OkStatus();
}

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}

Connection::~Connection() {
  const SigpipeGuard guard;
  state_.reset();
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectOptions& options) {
  if (absl::Status status = CheckConnectOptions(options); !status.ok()) return status;
  const SigpipeGuard guard;
  const absl::StatusOr<Endpoint> endpoint = ParseUri(options.uri);
  if (!endpoint.ok()) return endpoint.status();
  const absl::StatusOr<int> socket =
      OpenSocket(*endpoint, options.connect_timeout, options.operation_timeout);
  if (!socket.ok()) return socket.status();
  const bool tls = endpoint->scheme != Endpoint::Scheme::kLdapi;
  auto state = std::make_unique<State>(options);
  state->socket = *socket;
  if (const int code =
          ldap_init_fd(*socket, tls ? LDAP_PROTO_TCP : LDAP_PROTO_IPC, options.uri.c_str(), &state->handle);
      code != LDAP_SUCCESS) {
    close(*socket);
    return state->Check(code, "setting libldap up");
  }
  if (const int code = SetOptions(state->handle, options, tls); code != LDAP_SUCCESS) {
    return absl::FailedPreconditionError(
        fmt::format("{}: cannot set up TLS; is {:?} a readable PEM file?", state->Where(), options.ca));
  }
  if (tls) {
    if (absl::Status status = StartTls(*state, endpoint->scheme, *socket); !status.ok()) return status;
  }
  return std::unique_ptr<Connection>(new Connection(std::move(state)));
}

absl::Status Connection::Bind(const std::string& dn, const std::string& password) {
  if (password.empty()) return absl::InvalidArgumentError("an empty password binds nobody");
  if (absl::Status status = state_->Usable(); !status.ok()) return status;
  const SigpipeGuard guard;
  // libldap only reads the credentials.
  berval credentials{password.size(), const_cast<char*>(password.data())};
  int id = 0;
  const int code =
      ldap_sasl_bind(state_->handle, dn.c_str(), LDAP_SASL_SIMPLE, &credentials, nullptr, nullptr, &id);
  if (code != LDAP_SUCCESS) return state_->Check(code, "bind");
  absl::StatusOr<Message> message = state_->Receive(id, /*all=*/true, "bind");
  if (!message.ok()) return message.status();
  absl::StatusOr<Result> result = state_->ParseResult(*message, "bind");
  if (!result.ok()) return result.status();
  return state_->Check(result->code, "bind as " + dn, result->diagnostic);
}

void Connection::EndBy(std::chrono::steady_clock::time_point deadline) {
  state_->deadline = deadline;
  if (!state_->options.uri.starts_with("ldapi://")) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    state_->watch = std::make_unique<SocketDeadline>(state_->socket, std::max(left, left.zero()));
    return;
  }
  // A read that ends early makes libldap look at its time again; the rest of a message comes with the next.
  const timeval limit{.tv_sec = 0, .tv_usec = kLongestRead.count()};
  setsockopt(state_->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

void Connection::EndWhenever() {
  state_->watch.reset();
  state_->deadline.reset();
}

bool Connection::IsUsable() const { return state_->Usable().ok(); }

bool Connection::IsQuiet() const {
  pollfd one{.fd = state_->socket, .events = POLLIN, .revents = 0};
  return IsUsable() && poll(&one, 1, 0) == 0;
}

void Connection::LeaveToParent() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  dup3(null, state_->socket, O_CLOEXEC);
  close(null);
}

absl::StatusOr<std::vector<Entry>> Connection::Search(const SearchRequest& request) {
  std::vector<Entry> entries;
  const absl::Status status = SearchEach(request, [&entries](Entry entry) {
    entries.push_back(std::move(entry));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return entries;
}

absl::Status Connection::SearchEach(const SearchRequest& request,
                                    const std::function<absl::Status(Entry)>& each) {
  if (absl::Status status = state_->Usable(); !status.ok()) return status;
  const SigpipeGuard guard;
  std::vector<char*> attributes;
  for (const std::string& attribute : request.attributes) {
    attributes.push_back(const_cast<char*>(attribute.c_str()));  // libldap only reads it
  }
  attributes.push_back(nullptr);
  const int scope = request.scope == Scope::kBase       ? LDAP_SCOPE_BASE
                    : request.scope == Scope::kOneLevel ? LDAP_SCOPE_ONELEVEL
                                                        : LDAP_SCOPE_SUBTREE;
  int id = 0;
  const int sent =
      ldap_search_ext(state_->handle, request.base.c_str(), scope, request.filter.ToString().c_str(),
                      attributes.data(), 0, nullptr, nullptr, nullptr, request.size_limit, &id);
  if (sent != LDAP_SUCCESS) return state_->Check(sent, "search");
  for (;;) {
    absl::StatusOr<Message> message = state_->Receive(id, /*all=*/false, "search");
    if (!message.ok()) return message.status();
    switch (ldap_msgtype(message->get())) {
      case LDAP_RES_SEARCH_ENTRY:
        if (absl::Status status = each(ToEntry(state_->handle, message->get())); !status.ok()) {
          ldap_abandon_ext(state_->handle, id, nullptr, nullptr);
          return status;
        }
        break;
      case LDAP_RES_SEARCH_RESULT: {
        absl::StatusOr<Result> result = state_->ParseResult(*message, "search");
        if (!result.ok()) return result.status();
        return state_->Check(result->code, "search below " + request.base, result->diagnostic);
      }
      default:  // references to other servers: not ours to follow
        break;
    }
  }
}

absl::StatusOr<bool> Connection::OffersTransactions() {
  absl::StatusOr<std::vector<Entry>> root = Search({.base = "",
                                                    .scope = Scope::kBase,
                                                    .filter = Filter::Present("objectClass"),
                                                    .attributes = {"supportedExtension"}});
  if (!root.ok()) return root.status();
  if (root->empty()) return false;
  const Values& offered = root->front().attributes["supportedExtension"];
  return std::find(offered.begin(), offered.end(), kTransactionStartOid) != offered.end();
}

absl::Status Connection::Apply(const Write& write) {
  if (absl::Status status = state_->Usable(); !status.ok()) return status;
  const SigpipeGuard guard;
  absl::StatusOr<int> id = state_->Send(write, nullptr);
  if (!id.ok()) return id.status();
  absl::StatusOr<Message> message = state_->Receive(*id, /*all=*/true, "write");
  if (!message.ok()) return message.status();
  absl::StatusOr<Result> result = state_->ParseResult(*message, "write");
  if (!result.ok()) return result.status();
  return state_->Check(result->code, "write", result->diagnostic);
}

}  // namespace prov::ldap
