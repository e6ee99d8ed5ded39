#include "agents/drivers/shadow.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "agents/drivers/passwd_file.h"
#include "agents/mail/maildir/layout.h"
#include "common/file.h"
#include "common/log.h"
#include "common/program.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr std::chrono::seconds kPatience(30);  // the programs wait up to 15 s for locked files
constexpr const char* kShell = "/usr/sbin/nologin";
constexpr size_t kMostNameOctets = 255;  // LOGIN_NAME_MAX

// Exit statuses, from their man pages.
constexpr int kGroupExists = 9;    // groupadd
constexpr int kNoSuchAccount = 6;  // userdel, groupdel

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '@' || c == '.' || c == '_' || c == '-' ||
         c == '+';
}

// It becomes an argument and a line of a file.
absl::Status CheckName(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= kMostNameOctets && name[0] != '-' && name[0] != '+' &&
                    name[0] != '.' && std::all_of(name.begin(), name.end(), IsNameCharacter);
  return fits ? absl::OkStatus()
              : absl::InvalidArgumentError("the login cannot be the name of an account in /etc/passwd");
}

std::string GecosOf(const v1::Account& account) {
  std::string name = account.display_name();
  std::replace(name.begin(), name.end(), ':', ' ');
  return name;
}

class ShadowDriver final : public Driver {
 public:
  ShadowDriver(AccountOptions options, state::StateWriter& state)
      : options_(std::move(options)), state_(state) {}

  std::string_view name() const override { return "accounts"; }

  absl::Status Apply(const state::PendingItem& item) override {
    // The programs lock the files: side by side they would wait for each other.
    const std::lock_guard lock(mutex_);
    if (item.record) {
      const auto account = AccountOf(*item.record);
      return account ? Make(*account) : absl::OkStatus();
    }
    const auto previous = item.previous ? AccountOf(*item.previous) : std::nullopt;
    if (!previous) return absl::OkStatus();
    PROV_ASSIGN_OR_RETURN(const bool wanted, IsWanted(item.key));
    return wanted ? absl::OkStatus() : Remove(*previous);
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    const auto account = AccountOf(record);
    if (!account) return "";
    PROV_ASSIGN_OR_RETURN(const PasswdFile file, ReadPasswd());
    const PasswdEntry* entry = file.FindName(account->login());
    if (entry == nullptr) return "is not in /etc/passwd";
    if (entry->uid != account->uid_number()) return fmt::format("has uid {}", entry->uid);
    PROV_ASSIGN_OR_RETURN(const std::vector<std::string> changes, ChangesOf(*entry, *account));
    return changes.empty() ? "" : "differs in name, home, shell or group";
  }

 private:
  std::string Etc() const { return (options_.root == "/" ? "" : options_.root) + "/etc"; }
  absl::StatusOr<PasswdFile> ReadPasswd() const { return PasswdFile::Read(Etc() + "/passwd"); }

  // It may have left one role's view and be in another's.
  absl::StatusOr<bool> IsWanted(const std::string& key) const {
    for (const v1::Role role : options_.roles) {
      PROV_ASSIGN_OR_RETURN(const auto record, state_.FindRecord(role, key));
      if (record && AccountOf(*record)) return true;
    }
    return false;
  }

  absl::StatusOr<ProgramEnd> Run(const std::string& program, std::vector<std::string> arguments) const {
    std::vector<std::string> words = {"/usr/sbin/" + program};
    if (options_.root != "/") words.insert(words.end(), {"--prefix", options_.root});
    words.insert(words.end(), std::make_move_iterator(arguments.begin()),
                 std::make_move_iterator(arguments.end()));
    return RunProgram(words, kPatience);
  }

  // `also_fine`: an exit status that says that it was so already. The programs sync the files that they
  // write, and not the directory in which those take the old ones' names.
  absl::Status RunToEnd(const std::string& program, std::vector<std::string> arguments,
                        int also_fine = 0) const {
    PROV_ASSIGN_OR_RETURN(const ProgramEnd end, Run(program, std::move(arguments)));
    if (end.status == 0 || end.status == also_fine) return SyncDirectory(Etc());
    return absl::UnavailableError(fmt::format("{} ended with {}: {}", program, end.status,
                                              end.errors.substr(0, end.errors.find('\n'))));
  }

  absl::Status Make(const v1::Account& account) const {
    const uint32_t uid = account.uid_number();
    PROV_RETURN_IF_ERROR(CheckName(account.login()));
    if (uid < options_.least_uid) {
      return absl::InvalidArgumentError(
          fmt::format("uid {} is lower than accounts.least_uid, {}", uid, options_.least_uid));
    }
    PROV_ASSIGN_OR_RETURN(const PasswdFile file, ReadPasswd());
    const PasswdEntry* entry = file.FindName(account.login());
    if (entry != nullptr && entry->uid != uid) {
      return absl::FailedPreconditionError(
          fmt::format("this host has an account of this name already, with uid {}", entry->uid));
    }
    if (entry != nullptr) return Change(*entry, account);
    if (const PasswdEntry* other = file.FindUid(uid); other != nullptr) {
      return absl::FailedPreconditionError(fmt::format("{} has uid {} already", other->name, uid));
    }
    const std::string number = fmt::format("{}", uid);
    PROV_ASSIGN_OR_RETURN(const std::string home,
                          maildir::MailboxPath(options_.home_prefix, account.home_id()));
    // A group that is there already is this one, or useradd will say so.
    PROV_RETURN_IF_ERROR(RunToEnd("groupadd", {"--gid", number, account.login()}, kGroupExists));
    return RunToEnd("useradd",
                    {"--uid", number, "--gid", number, "--no-user-group", "--no-create-home", "--home-dir",
                     home, "--shell", kShell, "--comment", GecosOf(account), account.login()});
  }

  // Options of usermod for what differs.
  absl::StatusOr<std::vector<std::string>> ChangesOf(const PasswdEntry& entry,
                                                     const v1::Account& account) const {
    PROV_ASSIGN_OR_RETURN(const std::string home,
                          maildir::MailboxPath(options_.home_prefix, account.home_id()));
    std::vector<std::string> changes;
    if (entry.gecos != GecosOf(account)) changes.insert(changes.end(), {"--comment", GecosOf(account)});
    if (entry.home != home) changes.insert(changes.end(), {"--home", home});
    if (entry.shell != kShell) changes.insert(changes.end(), {"--shell", kShell});
    if (entry.gid != account.uid_number())
      changes.insert(changes.end(), {"--gid", fmt::format("{}", account.uid_number())});
    return changes;
  }

  absl::Status Change(const PasswdEntry& entry, const v1::Account& account) const {
    PROV_ASSIGN_OR_RETURN(std::vector<std::string> changes, ChangesOf(entry, account));
    if (changes.empty()) return absl::OkStatus();
    changes.push_back(account.login());
    return RunToEnd("usermod", std::move(changes));
  }

  // Its files are the other drivers' affair. userdel refuses while somebody is logged in: it is tried again.
  absl::Status Remove(const v1::Account& account) const {
    if (!CheckName(account.login()).ok() || account.uid_number() < options_.least_uid) {
      return absl::OkStatus();  // was never made
    }
    PROV_ASSIGN_OR_RETURN(const PasswdFile file, ReadPasswd());
    const PasswdEntry* entry = file.FindName(account.login());
    if (entry != nullptr && entry->uid != account.uid_number()) {
      Log(Level::kInfo, "account_kept", {{"login", account.login()}, {"uid", entry->uid}});
      return absl::OkStatus();
    }
    if (entry != nullptr) {
      Log(Level::kInfo, "account_remove", {{"login", account.login()}, {"uid", entry->uid}});
      PROV_RETURN_IF_ERROR(RunToEnd("userdel", {account.login()}, kNoSuchAccount));
    }
    // userdel takes its group along, unless login.defs says otherwise or it was killed before.
    PROV_ASSIGN_OR_RETURN(const auto gid, FindGroup(Etc() + "/group", account.login()));
    if (gid != account.uid_number()) return absl::OkStatus();
    return RunToEnd("groupdel", {account.login()}, kNoSuchAccount);
  }

  const AccountOptions options_;
  state::StateWriter& state_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Driver> MakeShadowDriver(AccountOptions options, state::StateWriter& state) {
  return std::make_unique<ShadowDriver>(std::move(options), state);
}

}  // namespace prov::drivers
