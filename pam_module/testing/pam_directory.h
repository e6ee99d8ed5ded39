// A real slapd that holds entries as the publisher writes them, and PAM stacks of our module, in a directory
// of its own.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/ldap/connection.h"
#include "server/directory/mapping.h"
#include "server/directory/memory_truth.h"
#include "tests/fixtures/slapd.h"

namespace prov::pam {

using ::prov::testing::Slapd;

inline constexpr char kPassword[] = "secret";  // of directory::TestSubscriber

inline std::string ModulePath() { return std::filesystem::absolute("pam_module/pam_prov.so").string(); }

inline int Converse(int count, const pam_message** messages, pam_response** responses, void* data) {
  auto* filled = static_cast<pam_response*>(calloc(static_cast<size_t>(count), sizeof(pam_response)));
  for (int i = 0; i < count; ++i) {
    if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
      filled[i].resp = strdup(static_cast<const char*>(data));
  }
  *responses = filled;
  return PAM_SUCCESS;
}

class PamProvTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto slapd = Slapd::Start({.tls = true, .password_socket = true});
    ASSERT_TRUE(slapd.ok()) << slapd.status();
    slapd_ = std::move(*slapd).release();
    Fill();
  }
  static void TearDownTestSuite() {
    delete slapd_;
    slapd_ = nullptr;
  }

  static void Fill() {
    auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(
        (*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
    ASSERT_TRUE((*connection)
                    ->Apply(ldap::Add{
                        {"ou=people,o=prov", {{"objectClass", {"organizationalUnit"}}, {"ou", {"people"}}}}})
                    .ok());
    std::vector<model::Subscriber> all;
    all.push_back(directory::TestSubscriber(1, "alice@example.net"));
    all.back().credential_version = 77;
    all.push_back(directory::TestSubscriber(2, "suspended@example.net"));
    all.back().state = model::State::kSuspended;
    all.push_back(directory::TestSubscriber(3, "webonly@example.net"));
    all.back().entitlements = {.mail = false, .ftp = false, .web = true};
    all.push_back(directory::TestSubscriber(4, "nopassword@example.net"));
    all.back().password_hash.clear();
    all.push_back(directory::TestSubscriber(5, "a+b{'}~#=@example.net"));
    all.push_back(directory::TestSubscriber(6, "nothing@example.net"));
    all.back().entitlements = {.mail = false, .ftp = false, .web = false};
    for (const model::Subscriber& one : all) {
      const auto entry = directory::SubscriberEntry(
          one, {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
      const absl::Status added = (*connection)->Apply(ldap::Add{*entry});
      ASSERT_TRUE(added.ok()) << added;
    }
  }

  void SetUp() override {
    ASSERT_NE(slapd_, nullptr);
    char path[] = "/tmp/pam.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    std::filesystem::create_directory(directory_ + "/pam.d");
    std::ofstream(directory_ + "/password") << slapd_->ServicePassword("pam") << "\n";
    for (const char* service : {"prov-pop3", "prov-web", "other", "passwd"}) {
      std::ofstream(directory_ + "/pam.d/" + service) << fmt::format(
          "auth required {0} config={1}\naccount required {0} config={1}\npassword required {0} config={1}\n"
          "session required {0} config={1}\n",
          ModulePath(), directory_ + "/pam_prov.toml");
    }
    Configure({slapd_->ldapi()}, "timeout = \"30s\"");  // the machine may be slow
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Configure(const std::vector<std::string>& uris, const std::string& more = "") {
    std::string list;
    for (const std::string& uri : uris) list += fmt::format("\"{}\", ", uri);
    std::ofstream(directory_ + "/pam_prov.toml") << fmt::format(
        "uri = [{}]\nbase = \"o=prov\"\nbind_dn = \"{}\"\nbind_password_file = \"password\"\n{}\n", list,
        slapd_->ServiceDn("pam"), more);
  }

  struct Outcome {
    int authenticate = -1;
    int account = -1;
    std::string credential_version;
  };

  Outcome LogInThroughPam(const std::string& login, const std::string& password,
                          const std::string& service = "prov-pop3") {
    Outcome outcome;
    std::string typed = password;
    const pam_conv conversation{&Converse, typed.data()};
    pam_handle_t* pam = nullptr;
    EXPECT_EQ(pam_start_confdir(service.c_str(), login.c_str(), &conversation,
                                (directory_ + "/pam.d").c_str(), &pam),
              PAM_SUCCESS);
    outcome.authenticate = pam_authenticate(pam, PAM_SILENT);
    outcome.account = pam_acct_mgmt(pam, PAM_SILENT);
    if (const char* version = pam_getenv(pam, "PROV_CREDENTIAL_VERSION"))
      outcome.credential_version = version;
    if (outcome.authenticate == PAM_SUCCESS) {
      EXPECT_EQ(pam_setcred(pam, PAM_ESTABLISH_CRED | PAM_SILENT), PAM_SUCCESS);
    }
    pam_end(pam, outcome.account);
    return outcome;
  }

  // What slapd logs about from now on.
  class Log {
   public:
    Log() : start_(slapd_->Log().size()) {}
    std::string New() const { return slapd_->Log().substr(start_); }

   private:
    const size_t start_;
  };

  static inline Slapd* slapd_ = nullptr;
  std::string directory_;
};

}  // namespace prov::pam
