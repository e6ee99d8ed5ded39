// For tests: one host without a network. The agent's state and drivers as agent.toml has them, given what
// provd would send, until there is nothing left to do or nothing gets better.
//
//   host_process AGENT.TOML VIEWS.JSON
//
// VIEWS.JSON: [{"role": "STORE", "revision": 20, "messages": [SyncResponse, …]}, …]; a role whose copy has
// the revision already is sent nothing, as provd would have it. Prints what came of it as JSON, and ends with
// 0 (all done), 1 (could not start: its supervisor starts it again), 3 (the state cannot be written any more:
// the same), 4 (something is failing).
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agents/config.h"
#include "agents/host_drivers.h"
#include "agents/state/integrity.h"
#include "agents/state/reader.h"
#include "agents/state_directory.h"
#include "agents/sync/applier.h"
#include "agents/sync/session.h"
#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr int kDone = 0, kNotStarted = 1, kMustEnd = 3, kFailing = 4;
constexpr size_t kMostInputOctets = 16 << 20;
constexpr int kRounds = 4;  // one fault may be met twice on the way to success, not more often

// The machine's, as far ahead as somebody who waits would be.
class AheadClock final : public Clock {
 public:
  std::chrono::system_clock::time_point Now() const override { return SystemClock().Now() + ahead_; }
  std::chrono::steady_clock::time_point Monotonic() const override {
    return SystemClock().Monotonic() + ahead_;
  }
  void Wait(std::chrono::minutes time) { ahead_ += time; }

 private:
  std::chrono::minutes ahead_{0};
};

bool MustEnd(const absl::Status& status) { return absl::IsInternal(status) || absl::IsDataLoss(status); }

struct View {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  uint64_t revision = 0;
  std::vector<v1::SyncResponse> messages;
};

absl::StatusOr<std::vector<View>> ReadViews(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostInputOctets));
  std::vector<View> views;
  for (const auto& json : nlohmann::json::parse(text)) {
    View& view = views.emplace_back();
    v1::Role_Parse(json.at("role").get<std::string>(), &view.role);
    view.revision = json.at("revision").get<uint64_t>();
    for (const auto& message : json.at("messages")) {
      const auto parsed =
          google::protobuf::util::JsonStringToMessage(message.dump(), &view.messages.emplace_back());
      if (!parsed.ok()) return absl::InvalidArgumentError(std::string(parsed.message()));
    }
  }
  return views;
}

class Host {
 public:
  explicit Host(const AgentConfig& config) : config_(config) {}

  absl::Status Start() {
    PROV_ASSIGN_OR_RETURN(auto directory, StateDirectory::Claim(config_.state_directory, std::nullopt,
                                                                std::chrono::seconds(0)));
    directory_.emplace(std::move(directory));
    PROV_ASSIGN_OR_RETURN(
        state_, directory_->OpenState([this] { return state::CheckIntegrity(config_.state_directory); }));
    PROV_ASSIGN_OR_RETURN(reader_, state::StateReader::Open(config_.state_directory));
    drivers_ = MakeHostDrivers(config_, std::nullopt, *state_, *reader_, clock_, [] {});
    for (const v1::Role role : config_.roles) {
      appliers_.push_back(std::make_unique<sync::Applier>(role, drivers_.of_role[role], *state_, clock_,
                                                          sync::ApplierOptions{.threads = 1}));
    }
    return absl::OkStatus();
  }

  // Until all is done, as far as that can be reached; what stood in the way last.
  absl::Status Follow(const std::vector<View>& views) {
    absl::Status trouble = absl::UnavailableError("not all is done");
    for (int round = 0; round < kRounds; ++round) {
      std::vector<absl::Status> found;
      for (const View& view : views) found.push_back(Send(view));
      for (const auto& applier : appliers_) found.push_back(Drive(*applier));
      const auto done = IsDone(views);
      found.push_back(done.status());
      for (const absl::Status& status : found) {
        if (MustEnd(status)) return status;
        if (!status.ok()) trouble = status;
      }
      if (done.ok() && *done) return absl::OkStatus();
      clock_.Wait(std::chrono::minutes(6));  // longer than any item rests
    }
    return trouble;
  }

  absl::StatusOr<nlohmann::json> Report() {
    auto report = nlohmann::json::object();
    for (const v1::Role role : config_.roles) {
      PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_->GetFreshness(role));
      PROV_ASSIGN_OR_RETURN(const state::Failing failing, state_->GetFailing(role, 100));
      auto errors = nlohmann::json::object();
      for (const auto& item : failing.items) errors[item.key] = item.error;
      PROV_ASSIGN_OR_RETURN(auto records, RecordsOf(role));
      report[v1::Role_Name(role)] = {{"received", freshness.received_revision},
                                     {"applied", freshness.applied_revision},
                                     {"failing", std::move(errors)},
                                     {"records", std::move(records)}};
    }
    return report;
  }

  // What drivers find to be other than the state wants it.
  absl::StatusOr<std::vector<std::string>> Differences() {
    std::vector<std::string> found;
    for (const v1::Role role : config_.roles) {
      for (drivers::Driver* driver : drivers_.of_role[role]) {
        PROV_RETURN_IF_ERROR(state_->ForEachRecord(role, [&](const v1::Record& record) -> absl::Status {
          PROV_ASSIGN_OR_RETURN(const std::string text, driver->Inspect(record));
          if (!text.empty()) found.push_back(fmt::format("{}: {} {}", driver->name(), record.key(), text));
          return absl::OkStatus();
        }));
        PROV_ASSIGN_OR_RETURN(const auto whole, driver->InspectWhole());
        for (const auto& difference : whole) found.push_back(difference.file + " " + difference.text);
      }
    }
    return found;
  }

 private:
  absl::Status Send(const View& view) {
    PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_->GetFreshness(view.role));
    if (freshness.received_revision >= view.revision) return absl::OkStatus();
    sync::Session session({.role = view.role, .agent_version = "", .endpoints = {}, .allowed_removals = {}},
                          *state_, clock_);
    PROV_RETURN_IF_ERROR(session.Hello().status());
    for (const v1::SyncResponse& message : view.messages) PROV_RETURN_IF_ERROR(session.Take(message));
    return absl::OkStatus();
  }

  static absl::Status Drive(sync::Applier& applier) {
    for (;;) {
      PROV_ASSIGN_OR_RETURN(const bool worked, applier.Step());
      if (!worked) return absl::OkStatus();
    }
  }

  absl::StatusOr<bool> IsDone(const std::vector<View>& views) {
    for (const View& view : views) {
      PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_->GetFreshness(view.role));
      if (freshness.received_revision < view.revision) return false;
    }
    for (const v1::Role role : config_.roles) {
      PROV_ASSIGN_OR_RETURN(const auto due, state_->NextDue(role, clock_.Now()));
      if (due) return false;
    }
    return true;
  }

  absl::StatusOr<nlohmann::json> RecordsOf(v1::Role role) {
    auto records = nlohmann::json::object();
    PROV_RETURN_IF_ERROR(state_->ForEachRecord(role, [&](const v1::Record& record) {
      records[record.key()] = record.revision();
      return absl::OkStatus();
    }));
    return records;
  }

  const AgentConfig config_;
  AheadClock clock_;
  std::optional<StateDirectory> directory_;
  std::unique_ptr<state::StateWriter> state_;
  std::unique_ptr<state::StateReader> reader_;
  HostDrivers drivers_;
  std::vector<std::unique_ptr<sync::Applier>> appliers_;
};

int Complain(const absl::Status& status, int code) {
  fmt::print(stderr, "host_process: {}\n", MessageOf(status));
  return code;
}

int Main(const std::string& configuration, const std::string& input) {
  const auto config = LoadAgentConfig(configuration);
  if (!config.ok()) return Complain(config.status(), kNotStarted);
  const auto views = ReadViews(input);
  if (!views.ok()) return Complain(views.status(), kNotStarted);
  Host host(*config);
  if (const absl::Status status = host.Start(); !status.ok()) return Complain(status, kNotStarted);
  const absl::Status followed = host.Follow(*views);
  if (MustEnd(followed)) return Complain(followed, kMustEnd);
  auto report = host.Report();
  if (!report.ok()) return Complain(report.status(), kMustEnd);
  absl::Status status = followed;
  if (status.ok()) {
    auto differences = host.Differences();
    if (!differences.ok()) differences = host.Differences();  // as an inspection looks again
    if (differences.ok()) (*report)["differences"] = *differences;
    status = differences.status();
  }
  fmt::print("{}\n", report->dump());
  return status.ok() ? kDone : Complain(status, kFailing);
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: host_process AGENT.TOML VIEWS.JSON\n");
    return prov::kNotStarted;
  }
  return prov::Main(argv[1], argv[2]);
}
