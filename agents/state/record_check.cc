#include "agents/state/record_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "absl/strings/ascii.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::state {
namespace {

using Body = v1::Record::BodyCase;

constexpr size_t kMaxPoolIdOctets = 63;
constexpr size_t kMaxEndpointOctets = 300;
constexpr size_t kMaxPlanOctets = 64;

bool IsPrintable(unsigned char c) { return c > ' ' && c < 0x7f; }

// [a-z0-9-]{1,64}: safe as a directory name whatever is put around it.
absl::Status CheckId(std::string_view field, std::string_view id) {
  const bool good = !id.empty() && id.size() <= kMaxIdOctets && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (good) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be 1 to {} of the characters a-z, 0-9 and -", kMaxIdOctets));
}

absl::Status CheckPoolId(std::string_view field, std::string_view id) {
  PROV_RETURN_IF_ERROR(CheckId(field, id));
  if (id.size() > kMaxPoolIdOctets) return InvalidField(field, "is too long for a pool");
  return absl::OkStatus();
}

absl::Status CheckAddress(std::string_view field, const std::string& address) {
  const auto parsed = ParseHostedAddress(address);
  if (!parsed.ok()) return InvalidField(field, MessageOf(parsed.status()));
  if (parsed->ToString() != address) return InvalidField(field, "is not in lower case with A-labels");
  return absl::OkStatus();
}

absl::Status CheckAddresses(std::string_view field,
                            const google::protobuf::RepeatedPtrField<std::string>& addresses, size_t most) {
  if (static_cast<size_t>(addresses.size()) > most) {
    return InvalidField(field, fmt::format("has {} entries, more than {}", addresses.size(), most));
  }
  for (const std::string& address : addresses) PROV_RETURN_IF_ERROR(CheckAddress(field, address));
  return absl::OkStatus();
}

absl::Status CheckDomainName(std::string_view field, const std::string& domain) {
  const auto normal = NormaliseDomain(domain);
  if (!normal.ok()) return InvalidField(field, MessageOf(normal.status()));
  if (*normal != domain) return InvalidField(field, "is not in lower case with A-labels");
  return absl::OkStatus();
}

absl::Status CheckDomain(const v1::Record& record) {
  const v1::HostedDomain& domain = record.domain();
  PROV_RETURN_IF_ERROR(CheckDomainName("domain.domain", domain.domain()));
  if (!domain.alias_of().empty()) PROV_RETURN_IF_ERROR(CheckDomainName("domain.alias_of", domain.alias_of()));
  if (!domain.catch_all().empty()) PROV_RETURN_IF_ERROR(CheckAddress("domain.catch_all", domain.catch_all()));
  if (record.key() != "domains/" + domain.domain()) return InvalidField("key", "does not name the domain");
  return absl::OkStatus();
}

// host:port, or [address]:port.
bool IsEndpoint(std::string_view endpoint) {
  if (endpoint.size() > kMaxEndpointOctets) return false;
  const size_t colon = endpoint.rfind(':');
  if (colon == endpoint.npos || colon == 0) return false;
  const std::string_view host = endpoint.substr(0, colon), port = endpoint.substr(colon + 1);
  const bool in_brackets = host.starts_with('[') && host.ends_with(']');
  if (!in_brackets && host.find(':') != host.npos) return false;
  if (!std::all_of(host.begin(), host.end(), IsPrintable)) return false;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size() && number > 0 && number < 65536;
}

absl::Status CheckPool(const v1::Record& record) {
  const v1::PoolMembers& pool = record.pool();
  PROV_RETURN_IF_ERROR(CheckPoolId("pool.pool", pool.pool()));
  if (record.key() != "pools/" + pool.pool()) return InvalidField("key", "does not name the pool");
  if (static_cast<size_t>(pool.members_size()) > kMaxPoolMembers) {
    return InvalidField("pool.members", "has too many entries");
  }
  for (const auto& member : pool.members()) {
    if (!IsRecordKey("hosts/" + member.host())) return InvalidField("pool.members.host", "is no host name");
    for (const auto& [service, endpoint] : member.endpoints()) {
      if (!IsEndpoint(endpoint)) return InvalidField("pool.members.endpoints", "holds what is no host:port");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSubscriberKey(const v1::Record& record) {
  const std::string_view key = record.key();
  constexpr std::string_view kPrefix = "subscribers/";
  const std::string_view id = key.substr(std::min(kPrefix.size(), key.size()));
  if (key.starts_with(kPrefix) && !id.empty() && id.find_first_not_of("0123456789") == id.npos) {
    return absl::OkStatus();
  }
  return InvalidField("key", "does not name a subscriber");
}

absl::Status CheckMailRoute(const v1::Record& record) {
  const v1::MailRoute& route = record.mail_route();
  if (!record.key().starts_with("lists/")) PROV_RETURN_IF_ERROR(CheckSubscriberKey(record));
  PROV_RETURN_IF_ERROR(CheckAddresses("mail_route.addresses", route.addresses(), kMaxRecordAddresses));
  if (!route.login().empty()) PROV_RETURN_IF_ERROR(CheckAddress("mail_route.login", route.login()));
  return CheckPoolId("mail_route.pool", route.pool());
}

// It becomes a word in files and replies, and the key of a table.
absl::Status CheckPlanName(std::string_view field, const std::string& plan) {
  const bool good =
      plan.size() <= kMaxPlanOctets && std::all_of(plan.begin(), plan.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
      });
  return good ? absl::OkStatus() : InvalidField(field, "is no name of a plan");
}

absl::Status CheckMailbox(const v1::Record& record) {
  const v1::Mailbox& mailbox = record.mailbox();
  PROV_RETURN_IF_ERROR(CheckSubscriberKey(record));
  PROV_RETURN_IF_ERROR(CheckId("mailbox.mailbox_id", mailbox.mailbox_id()));
  PROV_RETURN_IF_ERROR(CheckAddress("mailbox.login", mailbox.login()));
  PROV_RETURN_IF_ERROR(CheckAddresses("mailbox.addresses", mailbox.addresses(), kMaxRecordAddresses));
  if (mailbox.quota_bytes() < 0) return InvalidField("mailbox.quota_bytes", "is negative");
  if (mailbox.uid_number() > INT32_MAX) return InvalidField("mailbox.uid_number", "is no subscriber's");
  PROV_RETURN_IF_ERROR(CheckPlanName("mailbox.plan", mailbox.plan()));
  return CheckAddresses("mailbox.forward_targets", mailbox.forward_targets(), kMaxForwardTargets);
}

absl::Status CheckLoginRoute(const v1::Record& record) {
  PROV_RETURN_IF_ERROR(CheckSubscriberKey(record));
  PROV_RETURN_IF_ERROR(CheckAddress("login_route.login", record.login_route().login()));
  return CheckPoolId("login_route.pool", record.login_route().pool());
}

absl::Status CheckAccount(const v1::Record& record) {
  const v1::Account& account = record.account();
  PROV_RETURN_IF_ERROR(CheckSubscriberKey(record));
  PROV_RETURN_IF_ERROR(CheckId("account.home_id", account.home_id()));
  PROV_RETURN_IF_ERROR(CheckAddress("account.login", account.login()));
  // passwd readers give lines that begin otherwise a meaning of their own ("+", "-", "#"). With its domain,
  // no login is ever the name of a system account.
  const char first = account.login().front();
  if (!((first >= 'a' && first <= 'z') || (first >= '0' && first <= '9') || first == '_')) {
    return InvalidField("account.login", "must begin with a letter, a digit or _ to be a Unix account");
  }
  if (account.uid_number() == 0 || account.uid_number() > INT32_MAX) {
    return InvalidField("account.uid_number", "is no subscriber's");
  }
  const std::string& name = account.display_name();
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (name.size() > kMaxDisplayNameOctets || std::any_of(name.begin(), name.end(), is_control)) {
    return InvalidField("account.display_name", "is too long or has control characters");
  }
  return absl::OkStatus();
}

// They become names of links, and a web server looks them up as requests give them.
absl::Status CheckWebNames(v1::Role role, const v1::Account& account) {
  constexpr std::string_view kField = "account.web_names";
  if (role != v1::WEB && account.web_names_size() > 0) return InvalidField(kField, "are not for this role");
  if (static_cast<size_t>(account.web_names_size()) > kMaxWebNames) {
    return InvalidField(kField,
                        fmt::format("has {} entries, more than {}", account.web_names_size(), kMaxWebNames));
  }
  for (const std::string& name : account.web_names()) PROV_RETURN_IF_ERROR(CheckDomainName(kField, name));
  return absl::OkStatus();
}

absl::Status CheckPlan(v1::Role role, const v1::Account& account) {
  if (role != v1::FTP && !account.plan().empty()) return InvalidField("account.plan", "is not for this role");
  return CheckPlanName("account.plan", account.plan());
}

absl::Status CheckList(const v1::Record& record) {
  if (!record.key().starts_with("lists/")) return InvalidField("key", "does not name a list");
  PROV_RETURN_IF_ERROR(CheckAddress("list.address", record.list().address()));
  if (record.key() != "lists/" + record.list().address())
    return InvalidField("key", "does not name the list");
  return CheckAddresses("list.owners", record.list().owners(), kMaxListOwners);
}

absl::Status CheckListMember(const v1::Record& record) {
  const std::string& address = record.list_member().address();
  PROV_RETURN_IF_ERROR(CheckAddress("list_member.address", address));
  const std::string_view key = record.key();
  constexpr std::string_view kLists = "lists/";
  const std::string tail = "/members/" + address;
  if (key.starts_with(kLists) && key.size() > kLists.size() + tail.size() && key.ends_with(tail)) {
    return absl::OkStatus();
  }
  return InvalidField("key", "does not name the member of a list");
}

absl::Status CheckMailboxTransit(const v1::Record& record) {
  const v1::MailboxTransit& transit = record.mailbox_transit();
  constexpr std::string_view kMoves = "moves/";
  const std::string_view key = record.key();
  const std::string_view id = key.substr(std::min(kMoves.size(), key.size()));
  if (!key.starts_with(kMoves) || id.empty() || id.find_first_not_of("0123456789") != id.npos) {
    return InvalidField("key", "does not name a move");
  }
  PROV_RETURN_IF_ERROR(CheckId("mailbox_transit.mailbox_id", transit.mailbox_id()));
  PROV_RETURN_IF_ERROR(CheckPoolId("mailbox_transit.from_pool", transit.from_pool()));
  PROV_RETURN_IF_ERROR(CheckPoolId("mailbox_transit.to_pool", transit.to_pool()));
  if (transit.from_pool() == transit.to_pool())
    return InvalidField("mailbox_transit.to_pool", "is the old pool");
  return absl::OkStatus();
}

bool IsSent(v1::Role role, Body body) {
  switch (role) {
    case v1::RELAY:
      return body == Body::kDomain || body == Body::kPool || body == Body::kMailRoute;
    case v1::STORE:
      return body == Body::kDomain || body == Body::kPool || body == Body::kMailbox ||
             body == Body::kMailboxTransit;
    case v1::LIST:
      return body == Body::kDomain || body == Body::kPool || body == Body::kMailRoute ||
             body == Body::kList || body == Body::kListMember;
    case v1::POP_PROXY:
      return body == Body::kPool || body == Body::kLoginRoute;
    case v1::FTP:
    case v1::WEB:
      return body == Body::kAccount;
    default:
      return false;
  }
}

}  // namespace

bool IsRecordKey(std::string_view key) {
  if (key.size() > kMaxRecordKeyOctets || !std::all_of(key.begin(), key.end(), IsPrintable)) return false;
  const size_t slash = key.find('/');
  return slash != 0 && slash != key.npos && slash + 1 < key.size() && key.find("..") == key.npos;
}

absl::Status CheckRecord(v1::Role role, const v1::Record& record) {
  if (!IsRecordKey(record.key())) return InvalidField("key", "is no record key");
  if (record.ByteSizeLong() > kMaxRecordOctets) return InvalidField("record", "is too large");
  if (!IsSent(role, record.body_case())) {
    return InvalidField("body",
                        fmt::format("kind {} is not for this role", static_cast<int>(record.body_case())));
  }
  switch (record.body_case()) {
    case Body::kDomain:
      return CheckDomain(record);
    case Body::kPool:
      return CheckPool(record);
    case Body::kMailRoute:
      return CheckMailRoute(record);
    case Body::kMailbox:
      return CheckMailbox(record);
    case Body::kLoginRoute:
      return CheckLoginRoute(record);
    case Body::kAccount:
      PROV_RETURN_IF_ERROR(CheckWebNames(role, record.account()));
      PROV_RETURN_IF_ERROR(CheckPlan(role, record.account()));
      return CheckAccount(record);
    case Body::kList:
      return CheckList(record);
    case Body::kListMember:
      return CheckListMember(record);
    case Body::kMailboxTransit:
      return CheckMailboxTransit(record);
    case Body::BODY_NOT_SET:
      break;
  }
  return InvalidField("body", "is not set");
}

absl::Status CheckSuccessor(const v1::Record& before, const v1::Record& after) {
  const auto changed = [](std::string_view field, const std::string& old_id, const std::string& new_id) {
    if (old_id == new_id) return absl::OkStatus();
    return InvalidField(field, fmt::format("may not change from {} to {}", old_id, new_id));
  };
  if (before.body_case() != after.body_case()) return InvalidField("body", "may not become another kind");
  if (before.has_mailbox_transit()) {
    return changed("mailbox_transit.mailbox_id", before.mailbox_transit().mailbox_id(),
                   after.mailbox_transit().mailbox_id());
  }
  if (before.has_mailbox()) {
    return changed("mailbox.mailbox_id", before.mailbox().mailbox_id(), after.mailbox().mailbox_id());
  }
  if (before.has_account()) {
    PROV_RETURN_IF_ERROR(changed("account.home_id", before.account().home_id(), after.account().home_id()));
    if (before.account().uid_number() != after.account().uid_number()) {
      return InvalidField("account.uid_number", "may not change");
    }
  }
  return absl::OkStatus();
}

}  // namespace prov::state
