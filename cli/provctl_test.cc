// The built provctl against a server that misbehaves to order.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "cli/provctl_process.h"
#include "cli/scripted_provd.h"
#include "common/retry_info.h"
#include "common/status.h"
#include "common/version.h"

namespace prov::cli {
namespace {

constexpr std::chrono::seconds kPatience(30);

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

v1::RevisionProgress Progress(v1::FollowerProgress::State relay_state) {
  v1::RevisionProgress progress;
  progress.set_revision(1042);
  v1::FollowerProgress* directory = progress.add_followers();
  directory->set_name("directory");
  directory->set_state(v1::FollowerProgress::CURRENT);
  directory->set_applied_revision(1042);
  v1::FollowerProgress* relay = progress.add_followers();
  relay->set_name("hosts/relay1");
  relay->set_role(v1::RELAY);
  relay->set_state(relay_state);
  progress.set_converged(relay_state == v1::FollowerProgress::CURRENT);
  return progress;
}

class ProvctlTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/provctl.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    provd_ = std::make_unique<ScriptedProvd>(directory_, script_);
    script_.subscriber.set_login("alice@example.net");
    script_.subscriber.set_state(v1::Subscriber::ACTIVE);
    script_.subscriber.set_revision(1042);
  }
  void TearDown() override {
    provd_.reset();
    std::filesystem::remove_all(directory_);
  }

  Finished Run(std::vector<std::string> arguments, const std::string& standard_input = "") {
    return RunProvctl(directory_, provd_->config(), std::move(arguments), standard_input);
  }
  Finished AddUser(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"add-user", "alice@example.net", "--no-password"});
    return Run(std::move(more));
  }

  std::string directory_;
  Script script_;
  std::unique_ptr<ScriptedProvd> provd_;
};

TEST_F(ProvctlTest, CallWithoutAnswerIsRepeatedWithTheSameRequestId) {
  script_.failures = {absl::UnavailableError("gone"), absl::UnavailableError("gone")};
  const Finished done = AddUser();
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(done.out, "added alice@example.net (revision 1042)\n");
  ASSERT_EQ(script_.create_requests.size(), 3u);
  EXPECT_GE(script_.create_requests[0].request_id().size(), 16u);
  for (const auto& request : script_.create_requests) {
    EXPECT_EQ(request.request_id(), script_.create_requests[0].request_id());
  }
}

TEST_F(ProvctlTest, RunsHaveRequestIdsOfTheirOwn) {
  EXPECT_EQ(AddUser().status, 0);
  EXPECT_EQ(AddUser().status, 0);
  EXPECT_EQ(AddUser({"--request-id", "mine"}).status, 0);
  ASSERT_EQ(script_.create_requests.size(), 3u);
  EXPECT_NE(script_.create_requests[0].request_id(), script_.create_requests[1].request_id());
  EXPECT_EQ(script_.create_requests[2].request_id(), "mine");
}

TEST_F(ProvctlTest, LostAnswerTellsHowToRepeatTheWrite) {
  script_.failures.assign(100, absl::UnavailableError("gone"));
  const Finished done = AddUser();
  EXPECT_EQ(done.status, 7);
  ASSERT_FALSE(script_.create_requests.empty());
  EXPECT_TRUE(Has(done.err, "--request-id " + script_.create_requests[0].request_id())) << done.err;
}

TEST_F(ProvctlTest, OnlyUnavailableIsRepeated) {
  script_.failures = {absl::AbortedError("busy")};
  EXPECT_EQ(AddUser().status, 9);
  EXPECT_EQ(script_.create_requests.size(), 1u);
}

TEST_F(ProvctlTest, WaitsAsLongAsItIsAskedTo) {
  script_.failures = {ExhaustedFor(std::chrono::milliseconds(700), "too many calls"),
                      ExhaustedFor(std::chrono::milliseconds(700), "too many calls")};
  const auto begin = std::chrono::steady_clock::now();
  const Finished done = AddUser();
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1400));
  EXPECT_EQ(script_.create_requests.size(), 3u);
}

TEST_F(ProvctlTest, DoesNotWaitBeyondItsTimeNorForEver) {
  script_.failures = {ExhaustedFor(std::chrono::minutes(10), "too many calls")};
  EXPECT_EQ(AddUser().status, 7);
  EXPECT_EQ(script_.create_requests.size(), 1u);
  script_.create_requests.clear();
  script_.failures.assign(100, ExhaustedFor(std::chrono::milliseconds(1), "too many calls"));
  EXPECT_EQ(AddUser().status, 7);
  EXPECT_EQ(script_.create_requests.size(), 5u);
  script_.failures.clear();
}

TEST_F(ProvctlTest, ErrorNamesFieldValueAndMend) {
  script_.failures = {InvalidField("subscriber.login", "\"x\" has no @; write local-part@domain")};
  const Finished done = Run({"add-user", "x", "--no-password"});
  EXPECT_EQ(done.status, 5);
  EXPECT_EQ(done.out, "");
  EXPECT_EQ(done.err, "provctl: subscriber.login: \"x\" has no @; write local-part@domain\n");
}

TEST_F(ProvctlTest, CodesBecomeExitStatuses) {
  const std::vector<std::pair<absl::Status, int>> kCodes = {{absl::NotFoundError("x"), 3},
                                                            {absl::AlreadyExistsError("x"), 4},
                                                            {absl::InvalidArgumentError("x"), 5},
                                                            {absl::PermissionDeniedError("x"), 6},
                                                            {absl::FailedPreconditionError("x"), 9},
                                                            {absl::UnimplementedError("x"), 1},
                                                            {absl::InternalError("x"), 1}};
  for (const auto& [status, exit] : kCodes) {
    script_.failures = {status};
    const Finished done = Run({"show-user", "alice@example.net"});
    EXPECT_EQ(done.status, exit) << status;
    EXPECT_EQ(done.err, "provctl: x\n");
  }
}

TEST_F(ProvctlTest, PasswordIsTheFirstLineOfStandardInput) {
  const Finished done =
      Run({"set-password", "alice@example.net", "--password-stdin"}, "Zebra 9 Cobalt \r\nsecond\n");
  EXPECT_EQ(done.status, 0) << done.err;
  ASSERT_EQ(script_.password_requests.size(), 1u);
  EXPECT_EQ(script_.password_requests[0].password(), "Zebra 9 Cobalt ");
  EXPECT_EQ(script_.password_requests[0].name(), "subscribers/alice@example.net");
  EXPECT_FALSE(Has(done.out + done.err, "Zebra"));
}

TEST_F(ProvctlTest, PasswordCannotBeGivenOnTheCommandLine) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"set-password", "alice@example.net", "secret"},
                                             {"set-password", "alice@example.net", "--password", "secret"},
                                             {"set-password", "alice@example.net", "--password=secret"},
                                             {"set-password", "alice@example.net", "--password-stdin=secret"},
                                             {"add-user", "alice@example.net", "--password", "secret"},
                                             {"add-user", "alice@example.net", "secret"}}) {
    const Finished done = Run(arguments, "");
    EXPECT_NE(done.status, 0) << arguments.back();
  }
  EXPECT_TRUE(script_.password_requests.empty());
  EXPECT_TRUE(script_.create_requests.empty());
}

TEST_F(ProvctlTest, WithoutTerminalThePasswordNeedsAnOption) {
  const Finished done = Run({"add-user", "alice@example.net"});
  EXPECT_EQ(done.status, 5);
  EXPECT_TRUE(Has(done.err, "--password-stdin")) << done.err;
  EXPECT_TRUE(script_.create_requests.empty());
}

TEST_F(ProvctlTest, OptionsReachTheRequest) {
  const Finished done = Run({"add-user", "--label", "crm=4711", "--label", "site=a=b", "alice@example.net",
                             "--name", "Alice", "--quota", "1G", "--plan", "gold", "--pool", "main", "--ftp",
                             "--web", "--no-mail", "--no-password"});
  EXPECT_EQ(done.status, 0) << done.err;
  ASSERT_EQ(script_.create_requests.size(), 1u);
  const v1::Subscriber& subscriber = script_.create_requests[0].subscriber();
  EXPECT_EQ(subscriber.login(), "alice@example.net");
  EXPECT_EQ(subscriber.display_name(), "Alice");
  EXPECT_EQ(subscriber.quota_bytes(), 1 << 30);
  EXPECT_EQ(subscriber.plan(), "gold");
  EXPECT_EQ(subscriber.store_pool(), "pools/main");
  EXPECT_FALSE(subscriber.entitlements().mail());
  EXPECT_TRUE(subscriber.entitlements().ftp());
  EXPECT_TRUE(subscriber.entitlements().web());
  EXPECT_EQ(subscriber.labels().at("crm"), "4711");
  EXPECT_EQ(subscriber.labels().at("site"), "a=b");
  EXPECT_FALSE(script_.create_requests[0].validate_only());
}

TEST_F(ProvctlTest, DryRunChangesNothingAndWaitsForNothing) {
  script_.subscriber.set_revision(0);
  const Finished done = AddUser({"--dry-run", "--wait"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(done.out, "would have added alice@example.net\n");
  ASSERT_EQ(script_.create_requests.size(), 1u);
  EXPECT_TRUE(script_.create_requests[0].validate_only());
  EXPECT_EQ(script_.wait_requests, 0);
}

TEST_F(ProvctlTest, WaitShowsEachFollowerOnStandardError) {
  script_.progress = {Progress(v1::FollowerProgress::BEHIND), Progress(v1::FollowerProgress::CURRENT)};
  const Finished done = AddUser({"--wait", "-o", "json"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_TRUE(Has(done.err, "directory")) << done.err;
  EXPECT_TRUE(Has(done.err, "relay1 (relay)")) << done.err;
  EXPECT_FALSE(Has(done.err, "\x1b"));
  EXPECT_EQ(nlohmann::json::parse(done.out)["login"], "alice@example.net");
}

TEST_F(ProvctlTest, QuietWaitSaysNothing) {
  script_.progress = {Progress(v1::FollowerProgress::CURRENT)};
  const Finished done = AddUser({"--wait", "--quiet"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(done.out + done.err, "");
  EXPECT_EQ(script_.wait_requests, 1);
}

TEST_F(ProvctlTest, NotConvergedInTimeIsStatus8AndNamesWhoIsBehind) {
  script_.progress = {Progress(v1::FollowerProgress::BEHIND)};
  script_.converges = false;
  const Finished done = AddUser({"--wait", "--timeout", "2s"});
  EXPECT_EQ(done.status, 8) << done.err;
  EXPECT_TRUE(Has(done.err, "relay1 (relay) is behind")) << done.err;
  EXPECT_TRUE(Has(done.err, "provctl wait 1042")) << done.err;
}

TEST_F(ProvctlTest, WaitOutlastsARestartOfProvd) {
  script_.progress = {Progress(v1::FollowerProgress::CURRENT)};
  script_.failures.assign(7, absl::UnavailableError("gone"));
  const Finished done = Run({"wait", "1042"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(script_.wait_requests, 8);
}

TEST_F(ProvctlTest, InterruptedWaitSaysThatTheWriteStands) {
  script_.progress = {Progress(v1::FollowerProgress::BEHIND)};
  script_.converges = false;
  ProvctlProcess process(directory_, provd_->config(),
                         {"add-user", "a@example.net", "--no-password", "--wait"});
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!Has(process.ErrSoFar(), "directory") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  process.Signal(SIGINT);
  const Finished done = process.Wait();
  EXPECT_EQ(done.status, -SIGINT) << done.err;
  EXPECT_TRUE(Has(done.err, "the write stands as revision 1042")) << done.err;
  EXPECT_TRUE(Has(done.out, "added a@example.net")) << done.out;
}

TEST_F(ProvctlTest, LongListComesPageByPageAsOneDocument) {
  script_.listed_total = 2500;
  const Finished done = Run({"list-users", "-o", "json"});
  EXPECT_EQ(done.status, 0) << done.err;
  const auto list = nlohmann::json::parse(done.out)["subscribers"];
  ASSERT_EQ(list.size(), 2500u);
  EXPECT_EQ(list[2499]["login"], "2499@example.net");
  EXPECT_EQ(script_.list_requests.size(), 3u);
  script_.listed_total = 0;
  EXPECT_EQ(nlohmann::json::parse(Run({"list-users", "-o", "json"}).out)["subscribers"].size(), 0u);
}

TEST_F(ProvctlTest, ListKeepsToLimitAndFilter) {
  script_.listed_total = 2500;
  const Finished done =
      Run({"list-users", "--limit", "1500", "--domain", "example.net", "--filter", "state = \"ACTIVE\""});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(std::count(done.out.begin(), done.out.end(), '\n'), 1501);
  ASSERT_EQ(script_.list_requests.size(), 2u);
  EXPECT_EQ(script_.list_requests[1].page_size(), 500);
  EXPECT_EQ(script_.list_requests[0].filter(), "state = \"ACTIVE\" AND domain = \"example.net\"");
  EXPECT_EQ(Run({"list-users", "--domain", "x\" OR state = \"CLOSED"}).status, 5);
}

TEST_F(ProvctlTest, HostileNameDoesNotDriveTheTerminal) {
  script_.subscriber.set_display_name("\x1b]0;owned\x07\x1b[2J");
  const Finished done = Run({"show-user", "alice@example.net"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_FALSE(Has(done.out, "\x1b"));
  EXPECT_TRUE(Has(done.out, "\\x1b]0;owned\\x07")) << done.out;
  EXPECT_FALSE(Has(Run({"show-user", "a", "\x1b[2J"}).err, "\x1b"));
  EXPECT_FALSE(Has(Run({"\x1b[2J"}).err, "\x1b"));
}

TEST_F(ProvctlTest, InvalidUtf8NamesItsField) {
  const Finished done = AddUser({"--name", "\xff\xfe"});
  EXPECT_EQ(done.status, 5);
  EXPECT_TRUE(Has(done.err, "display_name")) << done.err;
  EXPECT_TRUE(script_.create_requests.empty());
}

TEST_F(ProvctlTest, CertificateOfAnotherAuthorityCannotReachProvd) {
  const std::string stranger =
      WriteCaller(directory_, directory_ + "/stranger", "eve", "prov://operator/admin", provd_->address());
  const Finished done =
      RunProvctl(directory_, stranger, {"show-user", "alice@example.net", "--timeout", "5s"});
  EXPECT_EQ(done.status, 7) << done.err;
  EXPECT_EQ(script_.get_requests, 0);
}

TEST_F(ProvctlTest, UnreachableProvdIsNamed) {
  const std::string server = provd_->address();
  provd_.reset();
  const Finished done =
      RunProvctl(directory_, directory_ + "/admin.toml", {"add-user", "a@b.example", "--no-password"});
  EXPECT_EQ(done.status, 7);
  EXPECT_TRUE(Has(done.err, server)) << done.err;
  EXPECT_FALSE(Has(done.err, "may have been done")) << done.err;
}

TEST_F(ProvctlTest, ConfigurationComesFromHomeAndOptionsWin) {
  std::filesystem::create_directory(directory_ + "/.config");
  std::ofstream(directory_ + "/.config/provctl.toml") << fmt::format(
      "server = \"127.0.0.1:1\"\nca = \"{0}/ca/ca.pem\"\ncertificate = \"{0}/admin.pem\"\nkey = "
      "\"{0}/admin.key\"\n",
      directory_);
  const Finished done =
      RunProvctl(directory_, "", {"--server", provd_->address(), "show-user", "alice@example.net"});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(script_.get_requests, 1);
}

TEST_F(ProvctlTest, WrongUsageIsStatus2) {
  EXPECT_EQ(Run({}).status, 2);
  EXPECT_EQ(Run({"add-user"}).status, 2);
  EXPECT_EQ(Run({"show-user", "a", "--colour"}).status, 2);
  EXPECT_EQ(Run({"show-user", "a", "-o", "xml"}).status, 2);
  EXPECT_EQ(Run({"show-user", "a", "--timeout", "soon"}).status, 2);
  EXPECT_EQ(Run({"show-user", "a", "--config", "/nonexistent"}).status, 2);
  const Finished done = Run({"--server", "x:1", "ad-user", "a"});
  EXPECT_EQ(done.status, 2);
  EXPECT_TRUE(Has(done.err, "did you mean add-user?")) << done.err;
  EXPECT_EQ(RunProvctl(directory_, "", {"show-user", "a", "--server", "x:1"}).status, 2);
}

TEST_F(ProvctlTest, VersionIsTold) {
  EXPECT_EQ(Run({"--version"}).out, fmt::format("provctl {}\n", kVersion));
}

}  // namespace
}  // namespace prov::cli
