// The sample configurations are what the programs read.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "agents/config.h"
#include "cli/connection.h"
#include "common/file.h"
#include "common/status.h"
#include "pam_module/config.h"
#include "server/config.h"

namespace prov {
namespace {

std::string Sample(const std::string& name) {
  const auto text = ReadFile("packaging/" + name, 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

class SamplesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/samples.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Save(const std::string& text) {
    std::ofstream(directory_ + "/sample.toml") << text;
    return directory_ + "/sample.toml";
  }

  std::string directory_;
};

TEST_F(SamplesTest, ProvdReadsItsSample) {
  const auto config = LoadProvdConfig(Save(Sample("provd.toml")));
  EXPECT_TRUE(config.ok()) << config.status();
}

// "#key = value", without a space, is a setting; other comments have one.
std::string Uncommented(const std::string& sample) {
  return std::regex_replace(sample, std::regex("(^|\n)#([a-z_]+ = )"), "$1$2");
}

TEST_F(SamplesTest, WhatIsCommentedOutShowsProvdsDefault) {
  const std::string sample = Sample("provd.toml");
  const std::string whole = Uncommented(sample);
  ASSERT_NE(whole, sample);
  const auto left_out = LoadProvdConfig(Save(sample));
  ASSERT_TRUE(left_out.ok()) << left_out.status();
  const auto given = LoadProvdConfig(Save(whole));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->listen, left_out->listen);
  EXPECT_EQ(given->metrics, left_out->metrics);
  EXPECT_EQ(given->log_level, left_out->log_level);
  EXPECT_EQ(given->tls.ca, left_out->tls.ca);
  EXPECT_EQ(given->tls.certificate, left_out->tls.certificate);
  EXPECT_EQ(given->tls.key, left_out->tls.key);
  EXPECT_EQ(given->enrolment.ca_directory, left_out->enrolment.ca_directory);
  EXPECT_EQ(given->enrolment.listen, left_out->enrolment.listen);
  EXPECT_EQ(given->enrolment.host_lifetime, left_out->enrolment.host_lifetime);
  EXPECT_EQ(given->enrolment.caller_lifetime, left_out->enrolment.caller_lifetime);
  EXPECT_EQ(given->limits.per_second, left_out->limits.per_second);
  EXPECT_EQ(given->limits.burst, left_out->limits.burst);
  EXPECT_EQ(given->postgres.connections, left_out->postgres.connections);
  EXPECT_EQ(given->directory.ca, left_out->directory.ca);
  EXPECT_EQ(given->directory.starttls, left_out->directory.starttls);
  EXPECT_EQ(given->directory.home_prefix, left_out->directory.home_prefix);
  EXPECT_EQ(given->directory.most_removals, left_out->directory.most_removals);
  EXPECT_EQ(given->directory.services.login, left_out->directory.services.login);
  EXPECT_EQ(given->directory.services.submit, left_out->directory.services.submit);
  EXPECT_EQ(given->directory.services.ftp, left_out->directory.services.ftp);
  EXPECT_EQ(given->directory.services.web, left_out->directory.services.web);
  EXPECT_EQ(given->undelete, left_out->undelete);
  EXPECT_EQ(given->least_password_characters, left_out->least_password_characters);
}

TEST_F(SamplesTest, WhatIsCommentedOutShowsTheAgentsDefault) {
  const std::string sample = Sample("agent.toml");
  const std::string whole = Uncommented(sample);
  ASSERT_NE(whole, sample);
  const auto left_out = LoadAgentConfig(Save(sample));
  ASSERT_TRUE(left_out.ok()) << left_out.status();
  const auto given = LoadAgentConfig(Save(whole));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->state_directory, left_out->state_directory);
  EXPECT_EQ(given->metrics, left_out->metrics);
  EXPECT_EQ(given->log_level, left_out->log_level);
  EXPECT_EQ(given->tls.ca, left_out->tls.ca);
  EXPECT_EQ(given->tls.certificate, left_out->tls.certificate);
  EXPECT_EQ(given->tls.key, left_out->tls.key);
  EXPECT_EQ(given->purge.grace, left_out->purge.grace);
  EXPECT_EQ(given->store.owned_by_account, left_out->store.owned_by_account);
  EXPECT_EQ(given->accounts.in_passwd, left_out->accounts.in_passwd);
  EXPECT_EQ(given->accounts.root, left_out->accounts.root);
  EXPECT_EQ(given->accounts.least_uid, left_out->accounts.least_uid);
  EXPECT_EQ(given->accounts.home_prefix, left_out->accounts.home_prefix);
  EXPECT_EQ(given->inspection.every, left_out->inspection.every);
  EXPECT_EQ(given->inspection.repair, left_out->inspection.repair);
  EXPECT_EQ(given->store.maildir_root, left_out->store.maildir_root);
  EXPECT_EQ(given->store.transfer_listen, left_out->store.transfer_listen);
  EXPECT_EQ(given->ftp.home_root, left_out->ftp.home_root);
  EXPECT_EQ(given->web.home_root, left_out->web.home_root);
  EXPECT_EQ(given->web.sites_root, left_out->web.sites_root);
  EXPECT_EQ(given->web.configuration, left_out->web.configuration);
  EXPECT_EQ(given->web.suspended_page, left_out->web.suspended_page);
  EXPECT_EQ(given->web.check_command, left_out->web.check_command);
  EXPECT_EQ(given->web.reload_command, left_out->web.reload_command);
  EXPECT_EQ(given->web.reload_every, left_out->web.reload_every);
  const AgentConfig::Engine &engine = given->engine, &defaults = left_out->engine;
  EXPECT_EQ(engine.program, defaults.program);
  EXPECT_EQ(engine.hostname, defaults.hostname);
  EXPECT_EQ(engine.metrics, defaults.metrics);
  EXPECT_EQ(engine.smtp.listen, defaults.smtp.listen);
  EXPECT_EQ(engine.smtp.trusted_networks, defaults.smtp.trusted_networks);
  EXPECT_EQ(engine.smtp.smarthost, defaults.smtp.smarthost);
  EXPECT_EQ(engine.smtp.max_message_octets, defaults.smtp.max_message_octets);
  EXPECT_EQ(engine.lmtp.listen, defaults.lmtp.listen);
  EXPECT_EQ(engine.lmtp.forward_relay, defaults.lmtp.forward_relay);
  EXPECT_EQ(engine.pop3.listen, defaults.pop3.listen);
  EXPECT_EQ(engine.pop3_proxy.listen, defaults.pop3_proxy.listen);
  EXPECT_EQ(engine.queue.directory, defaults.queue.directory);
  EXPECT_EQ(engine.queue.first_retry, defaults.queue.first_retry);
  EXPECT_EQ(engine.queue.longest_retry, defaults.queue.longest_retry);
  EXPECT_EQ(engine.queue.give_up, defaults.queue.give_up);
  EXPECT_EQ(engine.pam.worker_program, defaults.pam.worker_program);
  EXPECT_EQ(engine.pam.config_directory, defaults.pam.config_directory);
  EXPECT_EQ(engine.pam.workers, defaults.pam.workers);
  EXPECT_EQ(engine.pam.timeout, defaults.pam.timeout);
}

TEST_F(SamplesTest, PamModuleReadsItsSampleAndWhatIsCommentedOutShowsItsDefault) {
  std::string sample = Sample("pam_prov.toml");
  const std::string password_file = "/etc/prov/pam.password";
  sample.replace(sample.find(password_file), password_file.size(), "password");
  std::ofstream(directory_ + "/password") << "secret\n";
  const auto left_out = pam::LoadConfig(Save(sample));
  ASSERT_TRUE(left_out.ok()) << left_out.status();
  const auto given = pam::LoadConfig(Save(Uncommented(sample)));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->starttls, left_out->starttls);
  EXPECT_EQ(given->timeout, left_out->timeout);
  EXPECT_EQ(given->dead_for, left_out->dead_for);
}

TEST_F(SamplesTest, ProvctlReadsItsSample) {
  std::string sample = Sample("provctl.toml");
  for (size_t at; (at = sample.find("/etc/prov/")) != std::string::npos;) sample.erase(at, 10);
  const std::string config = Save(sample);
  // It gets as far as the certificates, which are not there.
  const auto missing = cli::Connect({.config = config});
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  for (const char* file : {"ca.pem", "provctl.pem", "provctl.key"})
    std::ofstream(directory_ + "/" + file) << "";
  const auto connection = cli::Connect({.config = config});
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(connection->server, "provd.example.net:7443");
}

}  // namespace
}  // namespace prov
