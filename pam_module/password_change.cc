#include "pam_module/password_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "common/ldap/connection.h"
#include "common/ldap/dn.h"
#include "pam_module/process_memory.h"
#include "pam_module/servers.h"

namespace prov::pam {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{10};
constexpr milliseconds kLongestPause{200};

// Longer each time; false when time is up.
class Pauses {
 public:
  explicit Pauses(Clock::time_point deadline) : deadline_(deadline) {}
  bool Next() {
    if (Clock::now() + pause_ >= deadline_) return false;
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, kLongestPause);
    return true;
  }

 private:
  const Clock::time_point deadline_;
  milliseconds pause_ = kFirstPause;
};

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// provd makes one change at a time, and says that it is busy; nothing has happened then.
absl::Status ChangeWhenFree(ldap::Connection& connection, const std::string& dn,
                            const std::string& old_password, const std::string& new_password,
                            Clock::time_point deadline) {
  Pauses pauses(deadline);
  for (;;) {
    absl::Status changed = connection.ChangePassword(dn, old_password, new_password);
    if (!absl::IsUnavailable(changed) || !connection.IsUsable() || !pauses.Next()) return changed;
  }
}

// The change is made; the directory hears of it a moment later.
void AwaitNewPassword(ldap::Connection& connection, const std::string& dn, const std::string& password,
                      Clock::time_point deadline) {
  Pauses pauses(deadline);
  while (absl::IsUnauthenticated(connection.Bind(dn, password)) && pauses.Next()) {
  }
}

ChangeResult TryServer(const Config& config, const std::string& uri, const std::string& dn,
                       const std::string& old_password, const std::string& new_password,
                       Clock::time_point deadline) {
  const auto connection = OpenServer(config, uri, deadline);
  const absl::Status bound = connection.ok() ? (*connection)->Bind(dn, old_password) : connection.status();
  if (absl::IsUnauthenticated(bound)) return {Change::kWrong, "", ""};
  if (!bound.ok()) {
    ProcessMemory::Own().Failed(uri, config.dead_for);
    return {Change::kUnavailable, "", Words(bound)};
  }
  const absl::Status changed = ChangeWhenFree(**connection, dn, old_password, new_password, deadline);
  if (absl::IsInvalidArgument(changed)) return {Change::kRefused, Words(changed), ""};
  if (absl::IsUnauthenticated(changed)) return {Change::kWrong, "", ""};
  if (absl::IsFailedPrecondition(changed)) return {Change::kNotOffered, "", Words(changed)};
  if (!changed.ok())
    return {(*connection)->IsUsable() ? Change::kUnavailable : Change::kUncertain, "", Words(changed)};
  AwaitNewPassword(**connection, dn, new_password, deadline);
  return {Change::kDone, "", ""};
}

}  // namespace

ChangeResult ChangePassword(const Config& config, std::string_view login, const std::string& old_password,
                            const std::string& new_password) {
  const auto deadline = Clock::now() + config.timeout;
  const std::string dn = ldap::ChildDn("uid", login, "ou=people," + config.base);
  ChangeResult result{Change::kNotOffered, "", ""};
  // A replica does not change anything, and says so; the next may be its provider.
  for (const std::string& uri : ServerOrder(config)) {
    ChangeResult one = TryServer(config, uri, dn, old_password, new_password, deadline);
    const std::string causes =
        fmt::format("{}{}{}", result.cause, result.cause.empty() || one.cause.empty() ? "" : "; ", one.cause);
    const bool settled = one.outcome != Change::kUnavailable && one.outcome != Change::kNotOffered;
    if (settled || one.outcome == Change::kUnavailable) result = std::move(one);
    result.cause = causes;
    if (settled || Clock::now() >= deadline) break;
  }
  return result;
}

}  // namespace prov::pam
