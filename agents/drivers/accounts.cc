#include "agents/drivers/accounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "agents/drivers/nss_cache.h"
#include "agents/mail/maildir/layout.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using std::chrono::steady_clock;

// A small host's new account is there at once, and a large one's files are not written without end.
constexpr int kRestPerWrite = 3;

// passwd readers give lines that begin otherwise a meaning of their own ("+", "-", "#"). Mailboxes may have
// such logins, accounts have not.
absl::Status CheckLogin(const std::string& login) {
  const char first = login.empty() ? '\0' : login.front();
  if ((first >= 'a' && first <= 'z') || (first >= '0' && first <= '9') || first == '_')
    return absl::OkStatus();
  return absl::InvalidArgumentError("the login must begin with a letter, a digit or _ to be a Unix account");
}

// What the files are to hold, and whom they cannot.
struct Gathered {
  std::vector<UnixAccount> accounts;
  std::map<std::string, absl::Status> refused;  // by key of the record
};

class AccountDriver final : public Driver {
 public:
  AccountDriver(AccountOptions options, state::StateWriter& state, const Clock& clock)
      : options_(std::move(options)), state_(state), clock_(clock) {}

  std::string_view name() const override { return "accounts"; }

  absl::Status Apply(const state::PendingItem& item) override {
    const std::lock_guard lock(wanted_mutex_);
    ++wanted_;
    return absl::OkStatus();
  }

  absl::Status Flush(std::vector<Work>& works) override {
    const uint64_t wanted = Wanted();
    const std::lock_guard lock(write_mutex_);
    if (written_ < wanted) {
      WaitForTurn();
      // All that was applied until now is in the state already.
      const uint64_t covered = Wanted();
      PROV_RETURN_IF_ERROR(Write());
      written_ = covered;
    }
    for (Work& work : works) {
      const auto refused = refused_.find(work.item.key);
      if (work.status.ok() && work.item.record && refused != refused_.end()) work.status = refused->second;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override { return ""; }

  // Against what was written last: what has come since waits for its turn, and is no drift.
  absl::StatusOr<std::vector<Difference>> InspectWhole() override {
    const std::lock_guard lock(write_mutex_);
    if (written_ == 0) return std::vector<Difference>();
    PROV_ASSIGN_OR_RETURN(const NssCacheFingerprint found, FingerprintOnHost(options_.root));
    if (found == fingerprint_) return std::vector<Difference>();
    PROV_ASSIGN_OR_RETURN(const Gathered gathered, Gather());
    return CompareNssCache(options_.root, RenderNssCache(gathered.accounts));
  }

  void Redo() override {
    const std::lock_guard lock(wanted_mutex_);
    ++wanted_;
  }

 private:
  uint64_t Wanted() {
    const std::lock_guard lock(wanted_mutex_);
    return wanted_;
  }

  void WaitForTurn() const {
    const auto now = clock_.Monotonic();
    if (rest_until_ > now) std::this_thread::sleep_for(rest_until_ - now);
  }

  absl::Status Write() {
    const auto begin = clock_.Monotonic();
    const absl::Status status = WriteNow();
    const auto end = clock_.Monotonic();
    rest_until_ =
        end + std::min<steady_clock::duration>(kRestPerWrite * (end - begin), options_.longest_rest);
    return status;
  }

  absl::Status WriteNow() {
    PROV_ASSIGN_OR_RETURN(Gathered gathered, Gather());
    const NssCacheFiles files = RenderNssCache(gathered.accounts);
    PROV_ASSIGN_OR_RETURN(const bool changed, WriteNssCache(options_.root, files));
    fingerprint_ = FingerprintOf(files);
    refused_ = std::move(gathered.refused);
    if (changed) {
      Log(Level::kDebug, "accounts_written",
          {{"root", options_.root}, {"accounts", gathered.accounts.size()}});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Gathered> Gather() const {
    Gathered gathered;
    std::map<std::string, std::string> key_of_login;
    std::map<uint32_t, std::string> key_of_uid;
    for (const v1::Role role : options_.roles) {
      PROV_RETURN_IF_ERROR(state_.ForEachRecord(role, [&](const v1::Record& record) -> absl::Status {
        const std::optional<v1::Account> wanted = AccountOf(record);
        if (!wanted) return absl::OkStatus();
        const v1::Account& account = *wanted;
        const absl::Status fit = Fits(record.key(), account, key_of_login, key_of_uid);
        if (!fit.ok()) {
          gathered.refused.emplace(record.key(), fit);
          return absl::OkStatus();
        }
        if (!key_of_login.emplace(account.login(), record.key()).second)
          return absl::OkStatus();  // other role's
        key_of_uid.emplace(account.uid_number(), record.key());
        PROV_ASSIGN_OR_RETURN(std::string home,
                              maildir::MailboxPath(options_.home_prefix, account.home_id()));
        gathered.accounts.push_back(
            {account.login(), account.uid_number(), account.display_name(), std::move(home)});
        return absl::OkStatus();
      }));
    }
    return gathered;
  }

  // One subscriber may be seen by several roles, but no login and no uid by several subscribers.
  absl::Status Fits(const std::string& key, const v1::Account& account,
                    const std::map<std::string, std::string>& key_of_login,
                    const std::map<uint32_t, std::string>& key_of_uid) const {
    PROV_RETURN_IF_ERROR(CheckLogin(account.login()));
    if (account.uid_number() > INT32_MAX) return absl::InvalidArgumentError("the uid is no subscriber's");
    if (account.uid_number() < options_.least_uid) {
      return absl::InvalidArgumentError(fmt::format("uid {} is lower than accounts.least_uid, {}",
                                                    account.uid_number(), options_.least_uid));
    }
    const auto login = key_of_login.find(account.login());
    if (login != key_of_login.end() && login->second != key) {
      return absl::FailedPreconditionError(fmt::format("{} has this login already", login->second));
    }
    const auto uid = key_of_uid.find(account.uid_number());
    if (uid != key_of_uid.end() && uid->second != key) {
      return absl::FailedPreconditionError(fmt::format("{} has this uid already", uid->second));
    }
    return absl::OkStatus();
  }

  const AccountOptions options_;
  state::StateWriter& state_;
  const Clock& clock_;

  std::mutex wanted_mutex_;
  uint64_t wanted_ = 1;  // the first Flush writes, whatever is there

  std::mutex write_mutex_;
  uint64_t written_ = 0;
  steady_clock::time_point rest_until_;
  std::map<std::string, absl::Status> refused_;
  NssCacheFingerprint fingerprint_;  // of what was written last
};

}  // namespace

std::optional<v1::Account> AccountOf(const v1::Record& record) {
  if (record.has_account()) return record.account();
  if (!record.has_mailbox()) return std::nullopt;
  const v1::Mailbox& mailbox = record.mailbox();
  v1::Account account;
  account.set_login(mailbox.login());
  account.set_uid_number(mailbox.uid_number());
  account.set_home_id(mailbox.mailbox_id());  // as in the other roles: the subscriber's own id
  account.set_use(mailbox.login_disposition());
  account.set_closed(mailbox.closed());
  return account;
}

std::unique_ptr<Driver> MakeAccountDriver(AccountOptions options, state::StateWriter& state,
                                          const Clock& clock) {
  return std::make_unique<AccountDriver>(std::move(options), state, clock);
}

}  // namespace prov::drivers
