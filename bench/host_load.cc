// Load for `./dev bench hosts`: the agent's own state and drivers, without a provd in front of them.
//
//   host_load accounts --directory D --existing 50000 --count 10000
//       accounts a second on top of those, from their records' arrival until the files are durable
//   host_load visible --directory D --existing 1000000
//       seconds from one record's arrival until getpwnam(3) finds the account, and the memory that takes. Its
//       /etc must be the directory root/etc below D, with an nsswitch.conf.
//   host_load maildirs --directory D --count 100000
//       maildirs a second, durable; the bare system calls beside them; seconds to inspect them all
//
// One JSON object on standard output.
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "agents/drivers/accounts.h"
#include "agents/drivers/maildirs.h"
#include "agents/mail/maildir/layout.h"
#include "agents/state/writer.h"
#include "agents/sync/applier.h"
#include "agents/sync/inspection.h"
#include "common/clock.h"
#include "common/status.h"

namespace prov {
namespace {

namespace fs = std::filesystem;
using Time = std::chrono::steady_clock;

constexpr int kBatchRecords = 500;  // of a message from provd
constexpr int kFillRecords = 5000;  // between two commits where time is not taken
constexpr uint32_t kFirstUid = 200000;
constexpr int kBareSlice = 4096;
constexpr std::chrono::milliseconds kLookInterval(2);
constexpr std::chrono::seconds kLongestLook(60);

double SecondsSince(Time::time_point begin) {
  return std::chrono::duration<double>(Time::now() - begin).count();
}

std::string LoginOf(int number) { return fmt::format("user{}@example.net", number); }

v1::Record AccountOf(int number) {
  v1::Record record;
  record.set_key(fmt::format("subscribers/{}", number));
  record.set_revision(1);
  v1::Account* account = record.mutable_account();
  account->set_login(LoginOf(number));
  account->set_uid_number(kFirstUid + static_cast<uint32_t>(number));
  account->set_display_name(fmt::format("Customer {}", number));
  account->set_home_id(fmt::format("{:026}", number));
  account->set_use(v1::ALLOW);
  return record;
}

v1::Record MailboxOf(int number) {
  v1::Record record;
  record.set_key(fmt::format("subscribers/{}", number));
  record.set_revision(1);
  v1::Mailbox* mailbox = record.mutable_mailbox();
  mailbox->set_mailbox_id(fmt::format("{:026}", number));
  mailbox->set_login(LoginOf(number));
  mailbox->add_addresses(mailbox->login());
  return record;
}

// One role of a host.
class Host {
 public:
  static absl::StatusOr<Host> Open(const std::string& directory, v1::Role role) {
    std::error_code error;
    for (const char* part : {"/state", "/root", "/mail"}) fs::create_directories(directory + part, error);
    if (error) return absl::UnavailableError(fmt::format("make {}: {}", directory, error.message()));
    PROV_ASSIGN_OR_RETURN(auto state, state::StateWriter::Open(directory + "/state"));
    return Host(role, std::move(state));
  }

  void Add(std::unique_ptr<drivers::Driver> driver) { driver_ = std::move(driver); }
  state::StateWriter& state() { return *state_; }
  drivers::Driver& driver() { return *driver_; }

  absl::Status Receive(int from, int to, v1::Record (*record_of)(int), int at_once = kBatchRecords) {
    for (int next = from; next < to; next += at_once) {
      v1::Batch batch;
      for (int i = next; i < std::min(to, next + at_once); ++i) *batch.add_records() = record_of(i);
      PROV_RETURN_IF_ERROR(state_->ApplyBatch(role_, batch));
    }
    return absl::OkStatus();
  }

  // As if drivers had done them long ago.
  absl::Status Fill(int count, v1::Record (*record_of)(int)) {
    PROV_RETURN_IF_ERROR(Receive(0, count, record_of, kFillRecords));
    for (;;) {
      PROV_ASSIGN_OR_RETURN(const auto pending, state_->Pending(role_, SystemClock().Now(), kFillRecords));
      if (pending.empty()) return absl::OkStatus();
      std::vector<state::Outcome> outcomes;
      for (const state::PendingItem& item : pending) outcomes.push_back({item.key, item.ticket, {}, {}});
      PROV_RETURN_IF_ERROR(state_->Settle(role_, outcomes));
    }
  }

  absl::Status ApplyAll(sync::Applier& applier) {
    for (;;) {
      PROV_ASSIGN_OR_RETURN(const bool worked, applier.Step());
      if (!worked) break;
    }
    PROV_ASSIGN_OR_RETURN(const state::Failing failing, state_->GetFailing(role_, 1));
    if (failing.count == 0) return absl::OkStatus();
    return absl::InternalError(
        fmt::format("{} failed, the first: {}", failing.count, failing.items.front().error));
  }

  sync::Applier MakeApplier() { return sync::Applier(role_, {driver_.get()}, *state_, SystemClock()); }
  sync::Inspection MakeInspection() {
    return sync::Inspection(role_, {driver_.get()}, *state_, SystemClock());
  }

 private:
  Host(v1::Role role, std::unique_ptr<state::StateWriter> state) : role_(role), state_(std::move(state)) {}
  v1::Role role_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<drivers::Driver> driver_;
};

absl::StatusOr<Host> HostWithAccounts(const std::string& directory, int existing) {
  PROV_ASSIGN_OR_RETURN(Host host, Host::Open(directory, v1::FTP));
  host.Add(drivers::MakeAccountDriver(
      {.root = directory + "/root", .home_prefix = "/srv/homes", .least_uid = kFirstUid, .roles = {v1::FTP}},
      host.state(), SystemClock()));
  PROV_RETURN_IF_ERROR(host.Fill(existing, AccountOf));
  return host;
}

absl::StatusOr<nlohmann::json> Accounts(const std::string& directory, int existing, int count) {
  PROV_ASSIGN_OR_RETURN(Host host, HostWithAccounts(directory, existing));
  sync::Applier applier = host.MakeApplier();
  PROV_RETURN_IF_ERROR(host.ApplyAll(applier));
  const auto begin = Time::now();
  PROV_RETURN_IF_ERROR(host.Receive(existing, existing + count, AccountOf));
  PROV_RETURN_IF_ERROR(host.ApplyAll(applier));
  return nlohmann::json{
      {"existing", existing}, {"count", count}, {"accounts_per_second", count / SecondsSince(begin)}};
}

// The most anonymous memory of this process while it lives.
class MemoryWatch {
 public:
  MemoryWatch() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        most_kib_ = std::max(most_kib_.load(), AnonymousKib());
        std::this_thread::sleep_for(kLookInterval);
      }
    });
  }
  double most_mib() const { return static_cast<double>(most_kib_) / 1024; }

  static size_t AnonymousKib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("RssAnon:")) return std::strtoul(line.c_str() + 8, nullptr, 10);
    }
    return 0;
  }

 private:
  std::atomic<size_t> most_kib_{0};
  std::jthread thread_;
};

bool IsVisible(const std::string& login) {
  passwd entry = {};
  passwd* found = nullptr;
  char buffer[4096];
  return getpwnam_r(login.c_str(), &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
}

// From the record's arrival.
absl::StatusOr<double> SecondsToSee(Host& host, sync::Applier& applier, int number) {
  const auto begin = Time::now();
  PROV_RETURN_IF_ERROR(host.Receive(number, number + 1, AccountOf));
  absl::Status applied;
  std::jthread driver([&] { applied = host.ApplyAll(applier); });
  while (!IsVisible(LoginOf(number))) {
    if (Time::now() - begin > kLongestLook) return absl::DeadlineExceededError("getpwnam does not find it");
    std::this_thread::sleep_for(kLookInterval);
  }
  const double seconds = SecondsSince(begin);
  driver.join();
  PROV_RETURN_IF_ERROR(applied);
  return seconds;
}

absl::StatusOr<nlohmann::json> Visible(const std::string& directory, int existing, int looks) {
  PROV_ASSIGN_OR_RETURN(Host host, HostWithAccounts(directory, existing));
  sync::Applier applier = host.MakeApplier();
  const double idle_mib = static_cast<double>(MemoryWatch::AnonymousKib()) / 1024;
  const MemoryWatch memory;
  const auto begin = Time::now();
  PROV_RETURN_IF_ERROR(host.ApplyAll(applier));
  const double whole_seconds = SecondsSince(begin);
  if (!IsVisible(LoginOf(0))) return absl::FailedPreconditionError("/etc is not that of --directory");
  // Back to back: all but the first also wait for their turn.
  std::vector<double> seconds;
  for (int i = 0; i < looks; ++i) {
    PROV_ASSIGN_OR_RETURN(const double one, SecondsToSee(host, applier, existing + i));
    seconds.push_back(one);
  }
  return nlohmann::json{{"existing", existing},
                        {"write_all_seconds", whole_seconds},
                        {"visible_seconds", seconds},
                        {"idle_anonymous_mib", idle_mib},
                        {"most_anonymous_mib", memory.most_mib()}};
}

// The system calls that no way of making a maildir can do without. What it made stays: ext4 is slow to give
// inodes away that were freed just now, to whoever comes next.
double BareMaildirsPerSecond(const std::string& root, int count) {
  fs::create_directories(root);
  const int base = open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto begin = Time::now();
  for (int i = 0; i < count; ++i) {
    const std::string path = maildir::MailboxPath(root, fmt::format("{:026}", i)).value();
    const std::string second = path.substr(0, path.rfind('/'));
    mkdir(second.substr(0, second.rfind('/')).c_str(), 0700);
    mkdir(second.c_str(), 0700);
    mkdir(path.c_str(), 0700);
    for (const char* part : {"/new", "/cur", "/tmp"}) mkdir((path + part).c_str(), 0700);
    if (i % kBareSlice == kBareSlice - 1 || i + 1 == count) syncfs(base);
  }
  const double rate = count / SecondsSince(begin);
  close(base);
  return rate;
}

absl::StatusOr<nlohmann::json> Maildirs(const std::string& directory, int count) {
  PROV_ASSIGN_OR_RETURN(Host host, Host::Open(directory, v1::STORE));
  const std::string root = directory + "/mail";
  host.Add(drivers::MakeMaildirDriver({.root = root}));
  const double bare = BareMaildirsPerSecond(root + "/bare", std::min(count, 5 * kBareSlice));
  PROV_RETURN_IF_ERROR(host.Receive(0, count, MailboxOf));
  sync::Applier applier = host.MakeApplier();
  auto begin = Time::now();
  PROV_RETURN_IF_ERROR(host.ApplyAll(applier));
  const double rate = count / SecondsSince(begin);
  sync::Inspection inspection = host.MakeInspection();
  begin = Time::now();
  PROV_RETURN_IF_ERROR(inspection.Begin(1, sync::Repair::kNone));
  while (inspection.running()) PROV_RETURN_IF_ERROR(inspection.InspectSome());
  const double seconds = SecondsSince(begin);
  if (inspection.report().drifting() != 0 || inspection.report().failed_records() != 0)
    return absl::InternalError("the inspection found drift");
  return nlohmann::json{{"count", count},
                        {"maildirs_per_second", rate},
                        {"bare_per_second", bare},
                        {"inspection_seconds", seconds}};
}

int Main(int argc, char** argv) {
  CLI::App app("Load for ./dev bench hosts");
  std::string directory;
  int existing = 0, count = 1000, looks = 5;
  app.require_subcommand(1);
  CLI::App* accounts = app.add_subcommand("accounts", "accounts a second");
  CLI::App* visible = app.add_subcommand("visible", "from a record's arrival to getpwnam");
  CLI::App* maildirs = app.add_subcommand("maildirs", "maildirs a second, and their inspection");
  for (CLI::App* command : {accounts, visible, maildirs}) {
    command->add_option("--directory", directory, "new for each run")->required();
  }
  for (CLI::App* command : {accounts, visible}) {
    command->add_option("--existing", existing)->check(CLI::Range(1, 10'000'000));
  }
  for (CLI::App* command : {accounts, maildirs}) {
    command->add_option("--count", count)->check(CLI::Range(1, 10'000'000));
  }
  visible->add_option("--looks", looks)->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  const auto result = accounts->parsed()  ? Accounts(directory, existing, count)
                      : visible->parsed() ? Visible(directory, existing, looks)
                                          : Maildirs(directory, count);
  if (!result.ok()) {
    fmt::print(stderr, "host_load: {}\n", result.status().ToString());
    return 1;
  }
  fmt::print("{}\n", result->dump());
  return 0;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) { return prov::Main(argc, argv); }
