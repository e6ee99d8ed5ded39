#include "server/directory/mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/ldap/dn.h"

namespace prov::directory {
namespace {

using ldap::Attributes;
using ldap::Values;
using model::Disposition;
using model::Subscriber;

constexpr char kNoLogin[] = "/usr/sbin/nologin";

// Trimmed; a DirectoryString may not be empty (RFC 4517 section 3.3.6).
std::string CommonName(const Subscriber& subscriber) {
  const size_t first = subscriber.display_name.find_first_not_of(' ');
  if (first == std::string::npos) return subscriber.login;
  const size_t last = subscriber.display_name.find_last_not_of(' ');
  return subscriber.display_name.substr(first, last - first + 1);
}

// inetOrgPerson insists on a surname. The last word is right more often than not.
std::string Surname(const std::string& common_name) {
  const size_t space = common_name.find_last_of(' ');
  return space == std::string::npos ? common_name : common_name.substr(space + 1);
}

// Below the root of all mailboxes or homes. As prov::maildir does on hosts: FNV-1a, folded to 16 bits. It
// names directories on disk, and may never change.
std::string HashedPath(const std::string& id) {
  uint64_t hash = 14695981039346656037ull;
  for (const unsigned char c : id) hash = (hash ^ c) * 1099511628211ull;
  const auto folded = static_cast<uint16_t>(hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48));
  return fmt::format("{:02x}/{:02x}/{}", folded >> 8, folded & 0xff, id);
}

Values SortedUnique(const Values& values) {
  const std::set<std::string> sorted(values.begin(), values.end());
  return Values(sorted.begin(), sorted.end());
}

Values AllowedServices(const model::Dispositions& may, const Services& services) {
  Values allowed;
  const auto add = [&allowed](Disposition disposition, const Values& names) {
    if (disposition == Disposition::kAllow) allowed.insert(allowed.end(), names.begin(), names.end());
  };
  add(may.login, services.login);
  add(may.submit, services.submit);
  add(may.ftp, services.ftp);
  add(may.web, services.web);
  return SortedUnique(allowed);
}

std::string LoginState(const Subscriber& subscriber, bool entitled) {
  if (subscriber.state == model::State::kSuspended) return "suspended";
  if (!entitled) return "no-entitlement";
  return subscriber.password_hash.empty() ? "no-password" : "allowed";
}

void AddLogin(const Subscriber& subscriber, const model::Dispositions& may, const Services& services,
              Attributes& attributes) {
  const Values allowed = AllowedServices(may, services);
  attributes["authorizedService"] = allowed;
  attributes["provLoginState"] = {LoginState(subscriber, !allowed.empty())};
  // Without it any directory server refuses the bind.
  if (!allowed.empty() && !subscriber.password_hash.empty()) {
    attributes["userPassword"] = {subscriber.password_hash};
  }
}

void AddMail(const Subscriber& subscriber, const model::Dispositions& may, Attributes& attributes) {
  // Where mail is to be refused for a while, "unknown" would bounce it, so the addresses stay.
  if (may.receive != Disposition::kReject) {
    attributes["mailLocalAddress"] = SortedUnique(subscriber.addresses);
  }
  if (may.receive == Disposition::kTempFail) attributes["provReceive"] = {"defer"};
  attributes["mail"] = {subscriber.login};
  attributes["mailHost"] = {subscriber.store_pool};
  attributes["provQuota"] = {std::to_string(subscriber.quota_bytes)};
  if (subscriber.forward.targets.empty()) return;
  attributes["provForward"] = SortedUnique(subscriber.forward.targets);
  attributes["provForwardKeepsCopy"] = {subscriber.forward.keep_copy ? "TRUE" : "FALSE"};
  // Single-valued, and it replaces delivery: good for the plain case only.
  if (subscriber.forward.targets.size() == 1 && !subscriber.forward.keep_copy) {
    attributes["mailRoutingAddress"] = subscriber.forward.targets;
  }
}

void RemoveEmpty(Attributes& attributes) {
  for (auto it = attributes.begin(); it != attributes.end();) {
    it = it->second.empty() ? attributes.erase(it) : std::next(it);
  }
}

}  // namespace

std::string PeopleDn(const std::string& base) { return "ou=people," + base; }
std::string DomainsDn(const std::string& base) { return "ou=domains," + base; }
std::string ListsDn(const std::string& base) { return "ou=lists," + base; }
std::string SystemDn(const std::string& base) { return "ou=system," + base; }
std::string CursorDn(const std::string& base) { return "cn=cursor," + SystemDn(base); }

std::optional<ldap::Entry> SubscriberEntry(const Subscriber& subscriber, const MappingOptions& options) {
  if (subscriber.state == model::State::kClosed || subscriber.state == model::State::kPurged) {
    return std::nullopt;
  }
  const model::Dispositions may =
      model::DispositionsOf(subscriber.state, subscriber.entitlements, subscriber.suspended_mail);
  const std::string number = std::to_string(subscriber.uid_number);
  const std::string common_name = CommonName(subscriber);
  const std::string path = HashedPath(subscriber.uid);
  ldap::Entry entry;
  entry.dn = ldap::ChildDn("uid", subscriber.login, PeopleDn(options.base));
  entry.attributes = {
      {"objectClass",
       {"inetOrgPerson", "posixAccount", "inetLocalMailRecipient", "authorizedServiceObject",
        "provSubscriber"}},
      {"uid", {subscriber.login}},
      {"cn", {common_name}},
      {"sn", {Surname(common_name)}},
      {"uidNumber", {number}},
      {"gidNumber", {number}},
      {"homeDirectory", {options.home_prefix + "/" + path}},
      {"loginShell", {kNoLogin}},
      {"provSubscriberId", {std::to_string(subscriber.id)}},
      {"provRevision", {std::to_string(subscriber.revision)}},
      {"provState", {std::string(model::StateName(subscriber.state))}},
      {"provMailboxId", {subscriber.uid}},
      {"provMailboxPath", {path}},
      {"provCredentialVersion", {std::to_string(subscriber.credential_version)}},
  };
  AddLogin(subscriber, may, options.services, entry.attributes);
  AddMail(subscriber, may, entry.attributes);
  RemoveEmpty(entry.attributes);
  return entry;
}

ldap::Entry DomainEntry(const model::Domain& domain, const MappingOptions& options) {
  ldap::Entry entry;
  entry.dn = ldap::ChildDn("dc", domain.name, DomainsDn(options.base));
  entry.attributes = {
      {"objectClass", {"domain", "domainRelatedObject", "provDomain"}},
      {"dc", {domain.name}},
      {"associatedDomain", {domain.name}},
      {"provRevision", {std::to_string(domain.revision)}},
  };
  if (!domain.alias_of.empty()) entry.attributes["provAliasOf"] = {domain.alias_of};
  if (!domain.catch_all.empty()) entry.attributes["provCatchAll"] = {domain.catch_all};
  return entry;
}

ldap::Entry MailingListEntry(const model::MailingList& list, const MappingOptions& options) {
  ldap::Entry entry;
  // Named by what is indexed, and can thus not be lost.
  entry.dn = ldap::ChildDn("mailLocalAddress", list.address, ListsDn(options.base));
  entry.attributes = {
      {"objectClass", {"nisMailAlias", "inetLocalMailRecipient", "provMailingList"}},
      {"cn", {list.address}},
      {"mailLocalAddress", {list.address}},
      {"mailHost", {list.pool}},
      {"provRevision", {std::to_string(list.revision)}},
  };
  return entry;
}

const std::vector<std::string>& SubscriberAttributes() {
  static const std::vector<std::string> names = {"objectClass",
                                                 "uid",
                                                 "cn",
                                                 "sn",
                                                 "uidNumber",
                                                 "gidNumber",
                                                 "homeDirectory",
                                                 "loginShell",
                                                 "mail",
                                                 "mailLocalAddress",
                                                 "mailHost",
                                                 "mailRoutingAddress",
                                                 "authorizedService",
                                                 "userPassword",
                                                 "provSubscriberId",
                                                 "provRevision",
                                                 "provState",
                                                 "provLoginState",
                                                 "provMailboxId",
                                                 "provMailboxPath",
                                                 "provReceive",
                                                 "provCredentialVersion",
                                                 "provQuota",
                                                 "provForward",
                                                 "provForwardKeepsCopy"};
  return names;
}

const std::vector<std::string>& DomainAttributes() {
  static const std::vector<std::string> names = {"objectClass",  "dc",          "associatedDomain",
                                                 "provRevision", "provAliasOf", "provCatchAll"};
  return names;
}

const std::vector<std::string>& MailingListAttributes() {
  static const std::vector<std::string> names = {"objectClass", "cn", "mailLocalAddress", "mailHost",
                                                 "provRevision"};
  return names;
}

}  // namespace prov::directory
