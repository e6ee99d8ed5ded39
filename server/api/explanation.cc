#include "server/api/explanation.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "server/model/lifecycle.h"

namespace prov::api {
namespace {

using feed::FollowerState;
using model::Disposition;
using model::State;

// Steps in the order of the walk; the first that keeps the subscriber from something gives the verdict.
class Walk {
 public:
  void Good(std::string what, std::string detail) { Add(std::move(what), true, std::move(detail)); }
  void Bad(std::string what, std::string detail, const std::string& verdict) {
    Add(std::move(what), false, std::move(detail));
    if (verdict_.empty()) verdict_ = verdict;
  }
  // Not well, and does not keep the subscriber from anything.
  void Worrying(std::string what, std::string detail, const std::string& though) {
    Add(std::move(what), false, std::move(detail));
    if (though_.empty()) though_ = though;
  }
  void Remark(const std::string& remark) { remark_ = remark; }

  v1::Explanation Finish(const std::string& login) {
    explanation_.set_well(verdict_.empty());
    if (!verdict_.empty()) {
      explanation_.set_verdict(verdict_ + ".");
      return explanation_;
    }
    std::string verdict = fmt::format("Nothing on our side keeps {} from logging in or getting mail", login);
    if (!remark_.empty()) verdict += "; " + remark_;
    if (!though_.empty()) verdict += ", though " + though_;
    explanation_.set_verdict(verdict + ".");
    return explanation_;
  }

 private:
  void Add(std::string what, bool good, std::string detail) {
    v1::Explanation::Step* const step = explanation_.add_steps();
    step->set_what(std::move(what));
    step->set_good(good);
    step->set_detail(std::move(detail));
  }

  v1::Explanation explanation_;
  std::string verdict_, though_, remark_;
};

std::string Join(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, ", ")); }

std::string DayOf(model::Time time) {
  return google::protobuf::util::TimeUtil::ToString(
             google::protobuf::util::TimeUtil::TimeTToTimestamp(std::chrono::system_clock::to_time_t(time)))
      .substr(0, 10);
}

void CheckAccount(const SubscriberFacts& facts, Walk& walk) {
  const model::Subscriber& s = facts.subscriber;
  if (s.state == State::kActive) return walk.Good("account", "active");
  if (s.state == State::kSuspended) {
    const Disposition receive = model::DispositionsOf(s.state, s.entitlements, s.suspended_mail).receive;
    const char* const mail = receive == Disposition::kAllow      ? "mail is still taken in and kept"
                             : receive == Disposition::kTempFail ? "mail is deferred"
                                                                 : "mail is refused";
    const std::string because = s.suspend_reason.empty() ? "" : fmt::format(" ({})", s.suspend_reason);
    return walk.Bad("account", "suspended" + because,
                    fmt::format("{} is suspended{} and cannot log in; {}", s.login, because, mail));
  }
  const std::string until =
      s.state == State::kClosed && s.expire_time
          ? fmt::format("; until {} provctl undelete-user brings it back", DayOf(*s.expire_time))
          : "";
  walk.Bad("account", std::string(model::StateName(s.state)) + until,
           fmt::format("{} is {}: it cannot log in, and its mail is refused{}", s.login,
                       model::StateName(s.state), until));
}

void CheckEntitlement(const SubscriberFacts& facts, Walk& walk) {
  const model::Subscriber& s = facts.subscriber;
  std::vector<std::string> has;
  if (s.entitlements.mail) has.push_back("mail");
  if (s.entitlements.ftp) has.push_back("ftp");
  if (s.entitlements.web) has.push_back("web");
  const std::string what = has.empty() ? "nothing" : Join(has);
  if (s.entitlements.mail) return walk.Good("entitlement", what);
  walk.Bad("entitlement", what,
           fmt::format("{} is not entitled to mail, only to {}; provctl update-user --may-use changes that",
                       s.login, what));
}

void CheckPassword(const SubscriberFacts& facts, Walk& walk) {
  const model::Subscriber& s = facts.subscriber;
  if (!s.password_hash.empty()) return walk.Good("password", "set");
  walk.Bad("password", "none",
           fmt::format("{} has no password and cannot log in; provctl set-password gives it one", s.login));
}

void CheckDomain(const SubscriberFacts& facts, Walk& walk) {
  const std::string& login = facts.subscriber.login;
  const std::string name = login.substr(login.rfind('@') + 1);
  if (!facts.domain) {
    return walk.Bad("domain", name + " is not hosted here",
                    fmt::format("the domain {} is not hosted here, so {} gets no mail", name, login));
  }
  walk.Good("domain", name + (facts.domain->alias_of.empty()
                                  ? " is hosted"
                                  : fmt::format(" is an alias of {}", facts.domain->alias_of)));
}

std::string ToGo(const std::optional<std::chrono::milliseconds>& time) {
  return time ? fmt::format(", some {} s to go", (time->count() + 999) / 1000) : "";
}

void CheckDirectory(const SubscriberFacts& facts, Walk& walk) {
  const DirectoryFacts& d = facts.directory;
  const model::Subscriber& s = facts.subscriber;
  if (!d.unreachable.empty()) {
    return walk.Bad("directory", "cannot be read: " + d.unreachable,
                    "provd cannot reach the directory that passwords are checked by: " + d.unreachable);
  }
  if (!d.refused.empty()) {
    return walk.Bad("directory", "refuses the entry: " + d.refused,
                    fmt::format("the directory refuses the entry of {}: {}", s.login, d.refused));
  }
  if (!d.missing && d.differing.empty()) return walk.Good("directory", "the entry is what it should be");
  const std::string found =
      d.missing ? "the entry is missing" : fmt::format("the entry is out of date in {}", Join(d.differing));
  if (d.applied_revision >= s.revision) {
    return walk.Bad("directory", found,
                    fmt::format("the directory entry of {} is {}; provctl directory repair mends it", s.login,
                                d.missing ? "missing" : "not what it should be"));
  }
  const std::string lag =
      fmt::format("has applied up to revision {}, the last change of {} is {}{}", d.applied_revision, s.login,
                  s.revision, d.cause.empty() ? ToGo(d.time_to_go) : ": " + d.cause);
  walk.Bad("directory", fmt::format("{}; the directory {}", found, lag),
           "the directory is behind: it " + lag);
}

bool Serves(const HostFacts& host) {
  return host.state == model::HostState::kServing && host.failing.empty() &&
         host.standing.state == FollowerState::kCurrent;
}

// "has not applied the last change: …", as a predicate of the host.
std::string Trouble(const HostFacts& host, uint64_t revision) {
  if (!host.failing.empty()) return fmt::format("cannot apply it: {}", host.failing);
  if (host.state != model::HostState::kServing) return fmt::format("is {}", model::HostStateName(host.state));
  if (host.standing.state == FollowerState::kAbsent) {
    return fmt::format("is not connected: it {}", host.standing.cause);
  }
  return fmt::format(
      "has applied up to revision {} of {}{}", host.standing.applied_revision, revision,
      host.standing.cause.empty() ? ToGo(host.standing.time_to_go) : ": " + host.standing.cause);
}

// One host that serves is enough; `consequence` is what it means when there is none.
void CheckHosts(const SubscriberFacts& facts, model::Role role, const std::string& consequence, Walk& walk) {
  std::vector<const HostFacts*> hosts;
  for (const HostFacts& host : facts.hosts) {
    if (host.role == role) hosts.push_back(&host);
  }
  const bool any =
      std::any_of(hosts.begin(), hosts.end(), [](const HostFacts* host) { return Serves(*host); });
  for (const HostFacts* host : hosts) {
    const std::string what = fmt::format("{} {}", model::RoleName(role), host->host);
    if (Serves(*host)) {
      walk.Good(what, fmt::format("connected, has applied revision {}", host->standing.applied_revision));
      continue;
    }
    const std::string trouble = Trouble(*host, facts.subscriber.revision);
    const std::string sentence = fmt::format("{} {}", host->host, trouble);
    if (any && host->state != model::HostState::kServing) {
      walk.Good(what, std::string(model::HostStateName(host->state)));  // somebody wanted it so
    } else if (any) {
      walk.Worrying(what, trouble, sentence);
    } else {
      walk.Bad(what, trouble, fmt::format("{}: {}", consequence, sentence));
    }
  }
}

void CheckStore(const SubscriberFacts& facts, Walk& walk) {
  const model::Subscriber& s = facts.subscriber;
  const bool any = std::any_of(facts.hosts.begin(), facts.hosts.end(),
                               [](const HostFacts& host) { return host.role == model::Role::kStore; });
  const std::string consequence =
      fmt::format("no host of store pool {} serves the mailbox of {}", s.store_pool, s.login);
  if (!any)
    return walk.Bad("store pool", s.store_pool + " has no hosts", consequence + ": the pool is empty");
  CheckHosts(facts, model::Role::kStore, consequence, walk);
}

void CheckForward(const SubscriberFacts& facts, Walk& walk) {
  const model::Forward& forward = facts.subscriber.forward;
  if (forward.targets.empty()) return walk.Good("forward", "none");
  const std::string to = Join(forward.targets);
  walk.Good("forward", fmt::format("to {}; {}", to, forward.keep_copy ? "keeps a copy" : "keeps no copy"));
  if (!forward.keep_copy) walk.Remark(fmt::format("its mail goes on to {} and no copy is kept", to));
}

void NoteQuota(const SubscriberFacts& facts, Walk& walk) {
  constexpr double kMebibyte = 1 << 20;
  const int64_t quota = facts.subscriber.quota_bytes;
  walk.Good("quota", quota == 0 ? "none of its own"
                                : fmt::format("{:.0f} MiB; the hosts know how much is used, provd does not",
                                              static_cast<double>(quota) / kMebibyte));
}

}  // namespace

v1::Explanation Explain(const SubscriberFacts& facts) {
  const model::Subscriber& s = facts.subscriber;
  Walk walk;
  if (!facts.asked_for.empty()) {
    walk.Good("address", fmt::format("{} is an address of {}", facts.asked_for, s.login));
  }
  CheckAccount(facts, walk);
  CheckEntitlement(facts, walk);
  CheckPassword(facts, walk);
  CheckDomain(facts, walk);
  CheckDirectory(facts, walk);
  if (s.state == State::kActive || s.state == State::kSuspended) {
    if (s.entitlements.mail) {
      CheckStore(facts, walk);
      CheckHosts(facts, model::Role::kRelay, fmt::format("no relay takes mail for {}", s.login), walk);
      CheckHosts(facts, model::Role::kPopProxy, fmt::format("no POP proxy knows {}", s.login), walk);
    }
    if (s.entitlements.ftp)
      CheckHosts(facts, model::Role::kFtp, fmt::format("no FTP host serves {}", s.login), walk);
    if (s.entitlements.web)
      CheckHosts(facts, model::Role::kWeb, fmt::format("no web host serves {}", s.login), walk);
  }
  CheckForward(facts, walk);
  NoteQuota(facts, walk);
  return walk.Finish(s.login);
}

}  // namespace prov::api
