#include "agents/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/config.h"
#include "common/size.h"
#include "common/status.h"

namespace prov {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array kRoleNames = {
    std::pair{v1::RELAY, "relay"}, std::pair{v1::STORE, "store"},         std::pair{v1::OUTBOUND, "outbound"},
    std::pair{v1::LIST, "list"},   std::pair{v1::POP_PROXY, "pop-proxy"}, std::pair{v1::FTP, "ftp"},
    std::pair{v1::WEB, "web"},
};

constexpr const char* kNssCache = "nss-cache";
constexpr const char* kShadow = "shadow";
constexpr const char* kService = "service";
constexpr const char* kAccount = "account";
constexpr const char* kRefuse = "refuse";
constexpr const char* kDefer = "defer";
constexpr int64_t kDefaultMessageOctets = 10 << 20;  // Postfix's message_size_limit
constexpr int64_t kMostMessageOctets = int64_t{1} << 30;
constexpr milliseconds kLeastRetry{100};  // without a pause a next hop that is down would keep us busy

AgentConfig::Engine::Pop3 ReadPop3(ConfigReader& reader) {
  AgentConfig::Engine::Pop3 pop3;
  pop3.listen = reader.Strings("engine.pop3.listen");
  pop3.tls_listen = reader.Strings("engine.pop3.tls_listen");
  pop3.xclient_networks = reader.Strings("engine.pop3.xclient_networks");
  pop3.login_delay = reader.Duration("engine.pop3.login_delay", milliseconds(0));
  pop3.plan_login_delay = reader.DurationMap("engine.pop3.plan_login_delay", milliseconds(0));
  pop3.expire = reader.Duration("engine.pop3.expire", milliseconds(0));
  pop3.plan_expire = reader.DurationMap("engine.pop3.plan_expire", milliseconds(0));
  return pop3;
}

// Clients are told in days and in seconds (RFC 2449): what is shorter would be told wrongly.
absl::Status CheckPop3(const AgentConfig::Engine::Pop3& pop3) {
  const auto check = [](std::string_view key, milliseconds value, milliseconds unit) {
    if (value % unit == milliseconds(0)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("{} must be whole {}", key, unit == seconds(1) ? "seconds" : "days, such as \"30d\""));
  };
  absl::Status status = check("engine.pop3.login_delay", pop3.login_delay, seconds(1));
  for (const auto& [plan, delay] : pop3.plan_login_delay)
    status.Update(check("engine.pop3.plan_login_delay." + plan, delay, seconds(1)));
  status.Update(check("engine.pop3.expire", pop3.expire, hours(24)));
  for (const auto& [plan, expire] : pop3.plan_expire)
    status.Update(check("engine.pop3.plan_expire." + plan, expire, hours(24)));
  return status;
}

AgentConfig::Engine ReadEngine(ConfigReader& reader) {
  AgentConfig::Engine engine;
  engine.program = reader.Path("engine.program", "/usr/lib/prov/prov-engine");
  engine.user = reader.String("engine.user", "");
  engine.hostname = reader.String("engine.hostname", "");
  engine.metrics = reader.String("engine.metrics", "");
  engine.balancers = reader.Strings("engine.balancers");
  engine.tls.certificates = reader.Paths("engine.tls.certificates");
  engine.tls.keys = reader.Paths("engine.tls.keys");
  engine.smtp.listen = reader.Strings("engine.smtp.listen");
  engine.smtp.submission_listen = reader.Strings("engine.smtp.submission_listen");
  engine.smtp.submissions_listen = reader.Strings("engine.smtp.submissions_listen");
  engine.smtp.trusted_networks = reader.Strings("engine.smtp.trusted_networks");
  engine.smtp.xclient_networks = reader.Strings("engine.smtp.xclient_networks");
  engine.smtp.smarthost = reader.String("engine.smtp.smarthost", "");
  engine.smtp.resolvers = reader.Strings("engine.smtp.resolvers");
  engine.smtp.greeting_delay = reader.Duration("engine.smtp.greeting_delay", milliseconds(0));
  for (const auto& [key, rate] :
       {std::pair{"engine.smtp.messages_of_address", &engine.smtp.messages_of_address},
        std::pair{"engine.smtp.messages_of_network", &engine.smtp.messages_of_network},
        std::pair{"engine.smtp.recipients_of_login", &engine.smtp.recipients_of_login}}) {
    *rate = static_cast<uint32_t>(reader.Int(key, 0, 0, INT32_MAX));
  }
  engine.smtp.check_hello = reader.Bool("engine.smtp.check_hello", false);
  engine.smtp.check_sender_domain = reader.Bool("engine.smtp.check_sender_domain", false);
  engine.smtp.max_message_octets =
      reader.Int("engine.smtp.max_message_octets", kDefaultMessageOctets, 1024, kMostMessageOctets);
  engine.lmtp.listen = reader.Strings("engine.lmtp.listen");
  engine.lmtp.forward_relay = reader.String("engine.lmtp.forward_relay", "");
  engine.pop3 = ReadPop3(reader);
  engine.pop3_proxy.listen = reader.Strings("engine.pop3_proxy.listen");
  engine.pop3_proxy.tls_listen = reader.Strings("engine.pop3_proxy.tls_listen");
  engine.pop3_proxy.back_end_tls =
      reader.String("engine.pop3_proxy.back_end_tls", std::string(kBackEndTls.front()));
  engine.pop3_proxy.back_end_ca = reader.Path("engine.pop3_proxy.back_end_ca", "");
  engine.queue.directory = reader.Path("engine.queue.directory", "/var/spool/prov");
  engine.queue.first_retry = reader.Duration("engine.queue.first_retry", minutes(5), kLeastRetry);
  engine.queue.longest_retry = reader.Duration("engine.queue.longest_retry", seconds(4000), kLeastRetry);
  engine.queue.give_up = reader.Duration("engine.queue.give_up", hours(5 * 24));
  engine.queue.delay_notice = reader.Duration("engine.queue.delay_notice", hours(4));
  engine.queue.trace_keep = reader.Duration("engine.queue.trace_keep", hours(7 * 24));
  engine.srs.domain = reader.String("engine.srs.domain", "");
  engine.srs.secret_file = reader.Path("engine.srs.secret_file", "/etc/prov/srs.secret");
  engine.pam.worker_program = reader.Path("engine.pam.worker_program", "/usr/lib/prov/prov-pam-worker");
  engine.pam.config_directory = reader.Path("engine.pam.config_directory", "");
  engine.pam.workers = static_cast<uint32_t>(reader.Int("engine.pam.workers", 4, 1, 256));
  engine.pam.timeout = reader.Duration("engine.pam.timeout", seconds(10), milliseconds(1));
  return engine;
}

absl::Status CheckTls(const AgentConfig::Engine& engine, const std::string& path) {
  const auto& [certificates, keys] = engine.tls;
  if (!keys.empty() && keys.size() != certificates.size()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: engine.tls.keys: {} keys for {} certificates; one for each, or none where they lie in the "
        "certificates' files",
        path, keys.size(), certificates.size()));
  }
  if (!certificates.empty()) return absl::OkStatus();
  for (const auto& [key, listen] :
       {std::pair{"engine.smtp.submission_listen", &engine.smtp.submission_listen},
        std::pair{"engine.smtp.submissions_listen", &engine.smtp.submissions_listen},
        std::pair{"engine.pop3.tls_listen", &engine.pop3.tls_listen},
        std::pair{"engine.pop3_proxy.tls_listen", &engine.pop3_proxy.tls_listen}}) {
    if (listen->empty()) continue;
    return absl::InvalidArgumentError(fmt::format("{}: {} needs engine.tls.certificates", path, key));
  }
  return absl::OkStatus();
}

bool IsOneOf(std::string_view word, const std::array<std::string_view, 3>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

absl::StatusOr<std::string> MachineName() {
  char name[HOST_NAME_MAX + 1] = {};
  if (gethostname(name, sizeof name - 1) != 0) return ErrnoStatus(errno, "ask for the machine's name");
  return absl::AsciiStrToLower(name);
}

// Our engines have one user, who could neither write to such maildirs nor read them.
absl::Status CheckOwner(const AgentConfig& config) {
  if (!config.store.owned_by_account) return absl::OkStatus();
  std::string_view key;
  if (!config.engine.lmtp.listen.empty()) key = "engine.lmtp.listen";
  if (!config.engine.pop3.listen.empty()) key = "engine.pop3.listen";
  if (!config.store.transfer_listen.empty()) key = "store.transfer_listen";
  if (key.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{}: {} is not possible with store.owner = \"{}\": what serves there takes on no subscriber's uid; "
      "use other software for it, Dovecot for example, or store.owner = \"{}\"",
      config.path, key, kAccount, kService));
}

AgentConfig::Web ReadWeb(ConfigReader& reader) {
  AgentConfig::Web web;
  web.home_root = reader.Path("web.home_root", "/srv/prov/homes");
  web.sites_root = reader.Path("web.sites_root", "/srv/prov/sites");
  web.suspended_page = reader.Path("web.suspended_page", "");
  web.configuration = reader.Path("web.configuration", "");
  web.check_command =
      reader.Strings("web.check_command", {"/usr/sbin/apachectl", "-t", "-D", "PROV_SITES_CHECK"});
  web.reload_command = reader.Strings("web.reload_command", {"/usr/sbin/apachectl", "graceful"});
  web.reload_every = reader.Duration("web.reload_every", seconds(5), milliseconds(100));
  return web;
}

// It stands in Apache's configuration as it is.
absl::Status CheckPlainPath(std::string_view key, const std::string& path) {
  constexpr std::string_view kOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
  const bool plain = path.size() > 1 && path.front() == '/' && path.back() != '/' &&
                     path.find_first_not_of(kOctets) == std::string::npos &&
                     path.find("..") == std::string::npos;
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: \"{}\" must be an absolute path of letters, digits, / . _ and - only, for it stands "
                  "in Apache's configuration",
                  key, path));
}

absl::Status CheckWeb(const AgentConfig::Web& web) {
  if (web.configuration.empty()) return absl::OkStatus();
  PROV_RETURN_IF_ERROR(CheckPlainPath("web.sites_root", web.sites_root));
  if (!web.suspended_page.empty())
    PROV_RETURN_IF_ERROR(CheckPlainPath("web.suspended_page", web.suspended_page));
  for (const auto& [key, words] : {std::pair{"web.check_command", &web.check_command},
                                   std::pair{"web.reload_command", &web.reload_command}}) {
    if (words->empty() || !words->front().starts_with('/')) {
      return absl::InvalidArgumentError(
          fmt::format("{} must be a list of a program's absolute path and its arguments", key));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string RoleName(v1::Role role) {
  for (const auto& [value, name] : kRoleNames) {
    if (value == role) return name;
  }
  return "unknown";
}

std::optional<v1::Role> RoleOfName(std::string_view name) {
  for (const auto& [value, known] : kRoleNames) {
    if (name == known) return value;
  }
  return std::nullopt;
}

absl::StatusOr<AgentConfig> LoadAgentConfig(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(path));
  AgentConfig config;
  config.path = path;
  config.host = reader.String("host", "");
  config.provd = reader.Strings("provd");
  const std::vector<std::string> roles = reader.Strings("roles");
  config.state_directory = reader.Path("state_directory", "/var/lib/prov-agent");
  config.metrics = reader.String("metrics", "");
  config.control_listen = reader.String("control_listen", "");
  config.log_level = reader.String("log_level", "info");
  config.tls.ca = reader.Path("tls.ca", "/etc/prov/ca.pem");
  config.tls.certificate = reader.Path("tls.certificate", "/etc/prov/agent.pem");
  config.tls.key = reader.Path("tls.key", "/etc/prov/agent.key");
  const std::string accounts = reader.String("accounts.driver", kNssCache);
  config.accounts.in_passwd = accounts == kShadow;
  config.accounts.root = reader.Path("accounts.root", "/");
  config.accounts.least_uid = static_cast<uint32_t>(reader.Int("accounts.least_uid", 10000, 1000, INT32_MAX));
  config.accounts.home_prefix = reader.Path("accounts.home_prefix", "/srv/prov/homes");
  config.inspection.every = reader.Duration("inspection.every", hours(1), seconds(1));
  config.inspection.repair = reader.Bool("inspection.repair", true);
  config.purge.grace = reader.Duration("purge.grace", hours(7 * 24));
  const std::string owner = reader.String("store.owner", kService);
  config.store.owned_by_account = owner == kAccount;
  const std::string over_quota = reader.String("store.over_quota", kRefuse);
  config.store.defers_over_quota = over_quota == kDefer;
  config.store.maildir_root = reader.Path("store.maildir_root", "/srv/prov/mail");
  config.store.transfer_listen = reader.String("store.transfer_listen", "");
  config.store.served_at = reader.StringMap("store.served_at");
  config.ftp.home_root = reader.Path("ftp.home_root", "/srv/prov/homes");
  const std::map<std::string, std::string> plan_quota = reader.StringMap("ftp.plan_quota");
  config.web = ReadWeb(reader);
  config.engine = ReadEngine(reader);
  PROV_RETURN_IF_ERROR(reader.Finish());

  if (accounts != kNssCache && accounts != kShadow) {
    return absl::InvalidArgumentError(
        fmt::format("{}: accounts.driver: \"{}\" is neither {} nor {}", path, accounts, kNssCache, kShadow));
  }
  PROV_RETURN_IF_ERROR(CheckTls(config.engine, path));
  if (config.provd.empty()) return absl::InvalidArgumentError(fmt::format("{}: provd is required", path));
  if (roles.empty()) return absl::InvalidArgumentError(fmt::format("{}: roles is required", path));
  for (const std::string& role : roles) {
    const auto known = RoleOfName(role);
    if (!known) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: roles: \"{}\" is none of relay, store, outbound, list, pop-proxy, ftp, web", path, role));
    }
    if (std::find(config.roles.begin(), config.roles.end(), *known) != config.roles.end()) {
      return absl::InvalidArgumentError(fmt::format("{}: roles: \"{}\" is there twice", path, role));
    }
    config.roles.push_back(*known);
  }
  // So that clones may share one file.
  if (config.host.empty()) {
    PROV_ASSIGN_OR_RETURN(config.host, MachineName());
  }
  PROV_RETURN_IF_ERROR(Annotate(CheckWeb(config.web), path));
  PROV_RETURN_IF_ERROR(Annotate(CheckPop3(config.engine.pop3), path));
  for (const auto& [plan, text] : plan_quota) {
    const std::optional<int64_t> octets = ParseSize(text);
    if (!octets) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: ftp.plan_quota.{}: \"{}\" is not a size up to 1024T; write 500M or 10G", path, plan, text));
    }
    config.ftp.plan_quota.emplace(plan, *octets);
  }
  if (config.engine.hostname.empty()) config.engine.hostname = config.host;
  AgentConfig::Engine::Pop3Proxy& proxy = config.engine.pop3_proxy;
  if (proxy.back_end_ca.empty()) proxy.back_end_ca = config.tls.ca;
  if (!IsOneOf(proxy.back_end_tls, kBackEndTls)) {
    return absl::InvalidArgumentError(fmt::format("{}: engine.pop3_proxy.back_end_tls: \"{}\" is none of {}",
                                                  path, proxy.back_end_tls, fmt::join(kBackEndTls, ", ")));
  }
  for (const auto& [service, place] : config.store.served_at) {
    if (IsOneOf(service, kForeignServices)) continue;
    return absl::InvalidArgumentError(fmt::format("{}: store.served_at.{}: no such service; it is one of {}",
                                                  path, service, fmt::join(kForeignServices, ", ")));
  }
  if (owner != kService && owner != kAccount) {
    return absl::InvalidArgumentError(
        fmt::format("{}: store.owner: \"{}\" is neither {} nor {}", path, owner, kService, kAccount));
  }
  if (over_quota != kRefuse && over_quota != kDefer) {
    return absl::InvalidArgumentError(
        fmt::format("{}: store.over_quota: \"{}\" is neither {} nor {}", path, over_quota, kRefuse, kDefer));
  }
  PROV_RETURN_IF_ERROR(CheckOwner(config));
  return config;
}

}  // namespace prov
