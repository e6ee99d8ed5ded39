// The configuration of one host, read by prov-agent and by the engine it supervises: agent.toml.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "prov/v1/fleet.pb.h"

namespace prov {

// What a store may say that other software serves.
constexpr std::array<std::string_view, 3> kForeignServices = {"lmtp", "pop3", "pop3s"};
// How the POP3 proxy makes sure who its back end is: STLS, TLS from the first octet on, or not at all.
constexpr std::array<std::string_view, 3> kBackEndTls = {"stls", "always", "none"};

struct AgentConfig {
  std::string path;                // the file itself
  std::string host;                // as in the certificate: prov://agent/HOST; the machine's name unless set
  std::vector<std::string> provd;  // host:port, tried in turn
  std::vector<v1::Role> roles;
  std::string state_directory;
  std::string metrics;         // host:port of the agent's metrics; empty: none
  std::string control_listen;  // host:port where provd asks about queues and mail; empty: it cannot
  std::string log_level;

  struct Tls {  // PEM files; mutual TLS towards provd
    std::string ca, certificate, key;
  } tls;

  struct Accounts {
    bool in_passwd = false;   // /etc/passwd itself rather than libnss-cache's files
    std::string root;         // libnss-cache files are written to ROOT/etc/passwd.cache and so on
    uint32_t least_uid = 0;   // lower ones are refused, whatever provd says
    std::string home_prefix;  // pw_dir is HOME_PREFIX/xx/yy/ID
  } accounts;

  struct Inspection {
    std::chrono::milliseconds every;  // between two looks at what was made on this host
    bool repair = false;              // mend what somebody else changed; false: tell of it and leave it
  } inspection;

  struct Purge {
    std::chrono::milliseconds
        grace;  // data is kept out of service so long before it is removed; 0: not at all
  } purge;

  struct Store {
    std::string maildir_root;
    bool owned_by_account = false;  // maildirs belong to their subscribers' uids rather than to engine.user
    std::string transfer_listen;  // host:port for hosts of other pools, to which mailboxes move; empty: none
    bool defers_over_quota = false;  // mail for a full mailbox is to come again; false: it is refused
    // host:port by service (kForeignServices) where other software than the engine serves this host's
    // mailboxes.
    std::map<std::string, std::string> served_at;
  } store;
  struct Ftp {
    std::string home_root;
    std::map<std::string, int64_t> plan_quota;  // octets, by plan
  } ftp;
  struct Web {
    std::string home_root;
    std::string sites_root;                   // links from names to homes
    std::string suspended_page;               // file; empty: one sentence
    std::string configuration;                // file for Apache to include; empty: none
    std::vector<std::string> check_command;   // program, arguments
    std::vector<std::string> reload_command;  // program, arguments
    std::chrono::milliseconds reload_every;   // at most
  } web;

  struct Engine {
    std::string program;   // path of prov-engine
    std::string user;      // runs as; required when the agent is root
    std::string hostname;  // in greetings, HELO and Received
    std::string metrics;
    std::vector<std::string> balancers;  // addresses or CIDR that say by a PROXY header who the client is

    struct Tls {  // towards clients of the mail protocols
      std::vector<std::string>
          certificates;               // PEM chains; empty: no TLS. The first is for clients that name nobody
      std::vector<std::string> keys;  // PEM, one for each; empty: they lie in the chains' files
    } tls;
    struct Smtp {                                   // role relay
      std::vector<std::string> listen;              // host:port
      std::vector<std::string> submission_listen;   // subscribers' programs, STARTTLS (RFC 6409)
      std::vector<std::string> submissions_listen;  // TLS from the first octet on (RFC 8314)
      std::vector<std::string> trusted_networks;    // addresses or CIDR that may relay to other domains
      std::vector<std::string> xclient_networks;    // that may say by XCLIENT who the client is
      std::string smarthost;  // host:port that takes mail for other domains; empty: their MX hosts
      std::vector<std::string> resolvers;           // host:port of DNS servers; empty: the system's
      std::chrono::milliseconds greeting_delay{0};  // who speaks meanwhile is refused
      // An hour, 0 for no limit: from one client address, one network, and to recipients from one login.
      uint32_t messages_of_address = 0, messages_of_network = 0, recipients_of_login = 0;
      bool check_hello = false;          // HELO must be a name with a dot, or an address literal
      bool check_sender_domain = false;  // the sender's domain must be able to take mail
      int64_t max_message_octets = 0;
    } smtp;
    struct Lmtp {  // role store
      std::vector<std::string> listen;
      std::string forward_relay;  // host:port (SMTP) that takes forwarded mail; empty: deferred
    } lmtp;
    struct Pop3 {  // role store
      std::vector<std::string> listen;
      std::vector<std::string> tls_listen;        // TLS from the first octet on
      std::vector<std::string> xclient_networks;  // that may say by XCLIENT who the client is
      // Between two logins, and how long mail is kept that was fetched; 0: no limit. By plan, or for all.
      std::chrono::milliseconds login_delay{0}, expire{0};
      std::map<std::string, std::chrono::milliseconds> plan_login_delay, plan_expire;
    } pop3;
    struct Pop3Proxy {  // role pop-proxy
      std::vector<std::string> listen;
      std::vector<std::string> tls_listen;
      std::string back_end_tls;  // one of kBackEndTls
      std::string back_end_ca;   // PEM; whom to trust as a store
    } pop3_proxy;
    struct Queue {  // roles relay and store
      std::string directory;
      std::chrono::milliseconds first_retry, longest_retry, give_up;
      std::chrono::milliseconds delay_notice;  // senders are told of mail that waits so long; 0: never
      std::chrono::milliseconds trace_keep;    // what became of mail is remembered so long
    } queue;
    struct Srs {                // forwarded mail's senders are rewritten
      std::string domain;       // in their addresses; ours, and empty: they are not
      std::string secret_file;  // of words, one a line; the first signs, all are good for answers
    } srs;
    struct Pam {                     // roles store, and relay with submission
      std::string worker_program;    // path of prov-pam-worker
      std::string config_directory;  // empty: /etc/pam.d
      uint32_t workers = 0;
      std::chrono::milliseconds timeout;
    } pam;
  } engine;
};

// "relay", "store", "outbound", "list", "pop-proxy", "ftp", "web".
std::string RoleName(v1::Role role);
std::optional<v1::Role> RoleOfName(std::string_view name);

// INVALID_ARGUMENT names file, line and key of every error.
absl::StatusOr<AgentConfig> LoadAgentConfig(const std::string& path);

}  // namespace prov
