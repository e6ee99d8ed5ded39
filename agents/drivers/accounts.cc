#include "agents/drivers/accounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "agents/drivers/nss_cache.h"
#include "agents/drivers/passwd_file.h"
#include "agents/drivers/passwd_lines.h"
#include "agents/mail/maildir/layout.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMostPasswdOctets = size_t{4} << 30;

// A small host's new account is there at once, and a large one's files are not written without end.
constexpr int kRestPerWrite = 3;
constexpr int kLeastRestOfWrite = 4;  // a quarter of the time it took

// What was applied since the last write.
struct Touched {
  std::set<std::string> keys;
  std::unordered_set<uint32_t> uids;  // that the keys had before
};

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
  PasswdLines lines;
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
    touched_.keys.insert(item.key);
    const std::optional<v1::Account> before = item.previous ? AccountOf(*item.previous) : std::nullopt;
    if (before) touched_.uids.insert(before->uid_number());
    return absl::OkStatus();
  }

  absl::Status Flush(std::vector<Work>& works) override {
    const uint64_t wanted = Wanted();
    const std::lock_guard lock(write_mutex_);
    if (written_ < wanted || !kept_.empty()) {
      WaitForTurn();
      // All that was applied until now is in the state already.
      const auto [covered, touched] = TakeTouched();
      PROV_RETURN_IF_ERROR(Write(touched));
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
    PROV_ASSIGN_OR_RETURN(const NssCacheStamp found, NssCacheStamp::Of(options_.root));
    if (found == stamp_) return std::vector<Difference>();
    PROV_ASSIGN_OR_RETURN(const Gathered gathered, Gather());
    return CompareNssCache(options_.root, gathered.lines.get());
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

  std::pair<uint64_t, Touched> TakeTouched() {
    const std::lock_guard lock(wanted_mutex_);
    return {wanted_, std::exchange(touched_, {})};
  }

  void WaitForTurn() const {
    const auto now = clock_.Monotonic();
    if (rest_until_ > now) std::this_thread::sleep_for(rest_until_ - now);
  }

  absl::Status Write(const Touched& touched) {
    const auto begin = clock_.Monotonic();
    const absl::Status status = WriteNow(touched);
    const steady_clock::duration took = clock_.Monotonic() - begin;
    const steady_clock::duration least = took / kLeastRestOfWrite;
    rest_until_ =
        begin + took +
        std::min<steady_clock::duration>(
            kRestPerWrite * took, std::max<steady_clock::duration>(options_.write_interval - took, least));
    return status;
  }

  absl::Status WriteNow(const Touched& touched) {
    PROV_ASSIGN_OR_RETURN(const NssCacheStamp found, NssCacheStamp::Of(options_.root));
    // Until it ends well, what is there is not known.
    bool is_plain = std::exchange(stamp_, std::nullopt) == found;
    is_plain = is_plain && refused_.empty() && kept_.empty();
    PROV_RETURN_IF_ERROR(KeepUntilWhole());
    bool done = false;
    if (is_plain && kept_.empty()) {
      PROV_ASSIGN_OR_RETURN(done, WriteTouched(touched));
    }
    if (!done) PROV_RETURN_IF_ERROR(WriteWhole());
    PROV_ASSIGN_OR_RETURN(stamp_, NssCacheStamp::Of(options_.root));
    return absl::OkStatus();
  }

  // A copy that is being made anew does not know yet who has an account: whoever has one here keeps it until
  // the snapshots are complete.
  absl::Status KeepUntilWhole() {
    bool whole = true;
    for (const v1::Role role : options_.roles) {
      PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(role));
      whole = whole && freshness.received_revision > 0;
    }
    if (whole) kept_.clear();
    if (whole || looked_) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(const PasswdFile here, ReadIfThere(PasswdCachePath(options_.root)));
    kept_ = here.entries();
    looked_ = true;
    return absl::OkStatus();
  }

  static absl::StatusOr<PasswdFile> ReadIfThere(const std::string& path) {
    auto file = PasswdFile::Read(path);
    if (absl::IsNotFound(file.status())) return PasswdFile();
    return file;
  }
  // The host's own accounts, which are not provd's to give away.
  absl::StatusOr<PasswdFile> ReadHostsOwn() const {
    return ReadIfThere((options_.root == "/" ? "" : options_.root) + "/etc/passwd");
  }

  // From what the files hold, without reading all of the state. False: they hold something else than one line
  // for each subscriber, or would.
  absl::StatusOr<bool> WriteTouched(const Touched& touched) const {
    PROV_ASSIGN_OR_RETURN(const PasswdFile own, ReadHostsOwn());
    PasswdLines added;
    std::unordered_set<uint32_t> uids_added, uids = touched.uids;
    for (const std::string& key : touched.keys) {
      PROV_ASSIGN_OR_RETURN(const std::optional<v1::Account> account, FindAccount(key));
      if (!account) continue;
      const uint32_t uid = account->uid_number();
      if (!Fits(*account, own).ok() || !uids_added.insert(uid).second) return false;
      uids.insert(uid);
      PROV_ASSIGN_OR_RETURN(const UnixAccount unix_account, UnixAccountOf(*account));
      added.Add(unix_account);
    }
    if (!added.Sort().empty()) return false;
    PROV_ASSIGN_OR_RETURN(const std::string before,
                          ReadFile(PasswdCachePath(options_.root), kMostPasswdOctets));
    const std::optional<MergedLines> merged = MergeLines(before, uids, added.get());
    if (!merged) return false;
    if (!merged->changed) return true;
    PROV_RETURN_IF_ERROR(WriteNssCache(options_.root, merged->lines));
    Log(Level::kDebug, "accounts_written",
        {{"root", options_.root}, {"accounts", merged->lines.size()}, {"touched", touched.keys.size()}});
    return true;
  }

  absl::Status WriteWhole() {
    PROV_ASSIGN_OR_RETURN(Gathered gathered, Gather());
    PROV_ASSIGN_OR_RETURN(const bool so, IsNssCacheSo(options_.root, gathered.lines.get()));
    if (!so) {
      PROV_RETURN_IF_ERROR(WriteNssCache(options_.root, gathered.lines.get()));
      Log(Level::kDebug, "accounts_written",
          {{"root", options_.root}, {"accounts", gathered.lines.get().size()}});
    }
    refused_ = std::move(gathered.refused);
    return absl::OkStatus();
  }

  // The first role's word counts.
  absl::StatusOr<std::optional<v1::Account>> FindAccount(const std::string& key) const {
    for (const v1::Role role : options_.roles) {
      PROV_ASSIGN_OR_RETURN(const auto record, state_.FindRecord(role, key));
      std::optional<v1::Account> account = record ? AccountOf(*record) : std::nullopt;
      if (account) return account;
    }
    return std::nullopt;
  }

  absl::StatusOr<UnixAccount> UnixAccountOf(const v1::Account& account) const {
    PROV_ASSIGN_OR_RETURN(std::string home, maildir::MailboxPath(options_.home_prefix, account.home_id()));
    return UnixAccount{account.login(), account.uid_number(), account.display_name(), std::move(home)};
  }

  // One subscriber may be seen by several roles, but no login and no uid by several subscribers.
  absl::StatusOr<Gathered> Gather() const {
    Gathered gathered;
    PROV_ASSIGN_OR_RETURN(const PasswdFile own, ReadHostsOwn());
    std::unordered_map<uint32_t, std::string> key_of_uid;
    for (const v1::Role role : options_.roles) {
      PROV_RETURN_IF_ERROR(state_.ForEachRecord(role, [&](const v1::Record& record) -> absl::Status {
        const std::optional<v1::Account> account = AccountOf(record);
        if (!account) return absl::OkStatus();
        if (const absl::Status fit = Fits(*account, own); !fit.ok()) {
          gathered.refused.emplace(record.key(), fit);
          return absl::OkStatus();
        }
        const uint32_t uid = account->uid_number();
        const auto [claim, is_first] = key_of_uid.emplace(uid, record.key());
        if (!is_first && claim->second != record.key()) {
          gathered.refused.emplace(record.key(), TakenBy(claim->second, "uid"));
        }
        if (!is_first) return absl::OkStatus();
        PROV_ASSIGN_OR_RETURN(const UnixAccount line, UnixAccountOf(*account));
        gathered.lines.Add(line);
        return absl::OkStatus();
      }));
    }
    for (const auto& [login, entry] : kept_) {
      if (!key_of_uid.contains(entry.uid)) gathered.lines.Add({login, entry.uid, entry.gecos, entry.home});
    }
    for (const auto& [taken_out, stays] : gathered.lines.Sort()) {
      if (!key_of_uid.contains(taken_out.uid)) continue;  // was kept, and the login is another's by now
      gathered.refused.emplace(key_of_uid[taken_out.uid], TakenBy(key_of_uid[stays.uid], "login"));
    }
    return gathered;
  }

  absl::Status Fits(const v1::Account& account, const PasswdFile& own) const {
    PROV_RETURN_IF_ERROR(CheckLogin(account.login()));
    const uint32_t uid = account.uid_number();
    if (uid > INT32_MAX) return absl::InvalidArgumentError("the uid is no subscriber's");
    if (uid < options_.least_uid) {
      return absl::InvalidArgumentError(
          fmt::format("uid {} is lower than accounts.least_uid, {}", uid, options_.least_uid));
    }
    if (own.FindName(account.login()) != nullptr) {
      return absl::FailedPreconditionError(
          fmt::format("/etc/passwd has an account {} of the host's own", account.login()));
    }
    const PasswdEntry* other = own.FindUid(uid);
    if (other == nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(fmt::format("/etc/passwd has uid {} for {}", uid, other->name));
  }
  static absl::Status TakenBy(std::string_view key, std::string_view what) {
    return absl::FailedPreconditionError(fmt::format("{} has this {} already", key, what));
  }

  const AccountOptions options_;
  state::StateWriter& state_;
  const Clock& clock_;

  std::mutex wanted_mutex_;
  uint64_t wanted_ = 1;  // the first Flush writes, whatever is there
  Touched touched_;

  std::mutex write_mutex_;
  uint64_t written_ = 0;
  steady_clock::time_point rest_until_;
  std::map<std::string, absl::Status> refused_;
  std::optional<NssCacheStamp> stamp_;  // of what was written last
  bool looked_ = false;
  std::map<std::string, PasswdEntry> kept_;  // by login; empty when the state is whole
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
