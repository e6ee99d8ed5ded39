// pam_prov.so through real PAM against a real slapd that holds entries as the publisher writes them.
#include <gtest/gtest.h>

#include "pam_module/directory_login.h"
#include "pam_module/testing/pam_directory.h"

namespace prov::pam {
namespace {

TEST_F(PamProvTest, RightPasswordLogsIn) {
  const Outcome outcome = LogInThroughPam("alice@example.net", kPassword);
  EXPECT_EQ(outcome.authenticate, PAM_SUCCESS);
  EXPECT_EQ(outcome.account, PAM_SUCCESS);
  EXPECT_EQ(outcome.credential_version, "77");
  EXPECT_EQ(LogInThroughPam("Alice@EXAMPLE.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("a+b{'}~#=@example.net", kPassword).authenticate, PAM_SUCCESS);
}

TEST_F(PamProvTest, WrongPasswordIsRefused) {
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "Secret").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "secret ").authenticate, PAM_AUTH_ERR);
}

// RFC 4513 section 5.1.2: with an empty password the bind succeeds, and is nobody's.
TEST_F(PamProvTest, EmptyPasswordIsRefusedWithoutAskingTheDirectory) {
  const Log log;
  const Outcome outcome = LogInThroughPam("alice@example.net", "");
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(log.New().find("uid=alice"), std::string::npos) << log.New();
}

TEST_F(PamProvTest, OverlongPasswordIsRefused) {
  EXPECT_EQ(LogInThroughPam("alice@example.net", std::string(1 << 20, 'x')).authenticate, PAM_AUTH_ERR);
}

TEST_F(PamProvTest, PasswordBeyondNulIsNotCutOff) {
  const auto config = LoadConfig(directory_ + "/pam_prov.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(LogIn(*config, "prov-pop3", "alice@example.net", kPassword).standing, Standing::kAllowed);
  EXPECT_EQ(LogIn(*config, "prov-pop3", "alice@example.net", std::string("secret\0", 7)).standing,
            Standing::kWrong);
}

TEST_F(PamProvTest, NamesThatNobodyCanHaveNeverReachTheDirectory) {
  const Log log;
  for (const std::string& name :
       {std::string("*"), std::string(")(uid=*"), std::string("\\"), std::string("*@example.net"),
        std::string("alice@example.net)(uid=*"), std::string("alice"), std::string("a\nb@x.net"),
        std::string(1 << 20, 'a'), std::string("\xFF@x.net"), std::string(" alice@example.net"),
        std::string("alice@example.net "), std::string("alice@example.net\\00"),
        std::string("alice@example.net,o=prov"), std::string("al\tice@example.net"),
        std::string("(uid=alice@example.net)")}) {
    const Outcome outcome = LogInThroughPam(name, kPassword);
    EXPECT_EQ(outcome.authenticate, PAM_USER_UNKNOWN) << name.substr(0, 30);
    EXPECT_EQ(outcome.account, PAM_USER_UNKNOWN);
  }
  EXPECT_EQ(log.New(), "");
}

TEST_F(PamProvTest, UnknownLoginCostsAHashAsAWrongPasswordDoes) {
  const Log log;
  const Outcome outcome = LogInThroughPam("nobody@example.net", kPassword);
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(outcome.account, PAM_USER_UNKNOWN);
  EXPECT_NE(log.New().find("BIND dn=\"cn=absent,ou=services,o=prov\""), std::string::npos) << log.New();
}

TEST_F(PamProvTest, SuspendedAndPasswordlessAreRefused) {
  const Outcome suspended = LogInThroughPam("suspended@example.net", kPassword);
  EXPECT_EQ(suspended.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(suspended.account, PAM_ACCT_EXPIRED);
  EXPECT_EQ(LogInThroughPam("nopassword@example.net", kPassword).authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("nopassword@example.net", "").authenticate, PAM_AUTH_ERR);
}

TEST_F(PamProvTest, EntitlementIsByService) {
  Outcome outcome = LogInThroughPam("alice@example.net", kPassword, "prov-web");
  EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(outcome.account, PAM_PERM_DENIED);
  outcome = LogInThroughPam("webonly@example.net", kPassword, "prov-web");
  EXPECT_EQ(outcome.authenticate, PAM_SUCCESS);
  EXPECT_EQ(outcome.account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("webonly@example.net", kPassword, "prov-pop3").authenticate, PAM_AUTH_ERR);
  EXPECT_EQ(LogInThroughPam("webonly@example.net", kPassword, "other").authenticate, PAM_AUTH_ERR);
}

// An access rule that hides the attribute, or a state of a newer provd: nothing says that the password
// counts.
TEST_F(PamProvTest, WithoutAKnownLoginStateNobodyGetsIn) {
  auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
  ASSERT_TRUE(connection.ok());
  ASSERT_TRUE((*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
  int id = 10;
  for (const ldap::Values& state : {ldap::Values{}, ldap::Values{"paused"}}) {
    const std::string login = fmt::format("user{}@example.net", id);
    const auto entry =
        directory::SubscriberEntry(directory::TestSubscriber(id++, login),
                                   {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
    ldap::Entry changed = *entry;
    changed.attributes.erase("provLoginState");
    if (!state.empty()) changed.attributes["provLoginState"] = state;
    const absl::Status added = (*connection)->Apply(ldap::Add{changed});
    ASSERT_TRUE(added.ok()) << added;
    for (const char* password : {kPassword, "wrong"}) {
      const Outcome outcome = LogInThroughPam(login, password);
      EXPECT_EQ(outcome.authenticate, PAM_AUTHINFO_UNAVAIL) << password;
      EXPECT_EQ(outcome.account, PAM_AUTHINFO_UNAVAIL) << password;
    }
  }
}

TEST_F(PamProvTest, WithoutAnyEntitlementNobodyGetsIn) {
  for (const char* password : {kPassword, "wrong"}) {
    const Outcome outcome = LogInThroughPam("nothing@example.net", password);
    EXPECT_EQ(outcome.authenticate, PAM_AUTH_ERR) << password;
    EXPECT_EQ(outcome.account, PAM_PERM_DENIED) << password;
    EXPECT_EQ(outcome.credential_version, "") << password;
  }
}

// Somebody else's entries beside ours, and an entry that was given another's name.
TEST_F(PamProvTest, WhatProvdDidNotWriteIsNobody) {
  auto connection = ldap::Connection::Open({.uri = slapd_->ldapi()});
  ASSERT_TRUE(connection.ok());
  ASSERT_TRUE((*connection)->Bind(slapd_->ServiceDn("publisher"), slapd_->ServicePassword("publisher")).ok());
  const absl::Status stranger = (*connection)
                                    ->Apply(ldap::Add{{"uid=stranger@example.net,ou=people,o=prov",
                                                       {{"objectClass", {"inetOrgPerson"}},
                                                        {"uid", {"stranger@example.net"}},
                                                        {"cn", {"Stranger"}},
                                                        {"sn", {"Stranger"}}}}});
  ASSERT_TRUE(stranger.ok()) << stranger;
  EXPECT_EQ(LogInThroughPam("stranger@example.net", kPassword).account, PAM_USER_UNKNOWN);
  for (int id : {20, 21}) {
    const auto entry =
        directory::SubscriberEntry(directory::TestSubscriber(id, fmt::format("twin{}@example.net", id)),
                                   {.base = "o=prov", .services = {}, .home_prefix = "/srv/prov/homes"});
    ldap::Entry twin = *entry;
    twin.attributes["uid"].push_back("twin@example.net");
    const absl::Status added = (*connection)->Apply(ldap::Add{twin});
    ASSERT_TRUE(added.ok()) << added;
  }
  EXPECT_EQ(LogInThroughPam("twin@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

TEST_F(PamProvTest, ABrokenConversationIsNotAWrongPassword) {
  const pam_conv conversation{[](int, const pam_message**, pam_response**, void*) { return PAM_CONV_ERR; },
                              nullptr};
  pam_handle_t* pam = nullptr;
  ASSERT_EQ(pam_start_confdir("prov-pop3", "alice@example.net", &conversation,
                              (directory_ + "/pam.d").c_str(), &pam),
            PAM_SUCCESS);
  EXPECT_EQ(pam_authenticate(pam, PAM_SILENT), PAM_CONV_ERR);
  pam_end(pam, PAM_CONV_ERR);
}

TEST_F(PamProvTest, AccountStageStandsAloneAndFollowsTheName) {
  char typed[] = "secret";
  const pam_conv conversation{&Converse, typed};
  pam_handle_t* pam = nullptr;
  ASSERT_EQ(pam_start_confdir("prov-pop3", "alice@example.net", &conversation,
                              (directory_ + "/pam.d").c_str(), &pam),
            PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_SUCCESS);  // somebody else has authenticated
  EXPECT_EQ(pam_authenticate(pam, PAM_SILENT), PAM_SUCCESS);
  ASSERT_EQ(pam_set_item(pam, PAM_SERVICE, "prov-web"), PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_PERM_DENIED);
  ASSERT_EQ(pam_set_item(pam, PAM_SERVICE, "prov-pop3"), PAM_SUCCESS);
  ASSERT_EQ(pam_set_item(pam, PAM_USER, "suspended@example.net"), PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_ACCT_EXPIRED);
  pam_end(pam, PAM_SUCCESS);
}

// As sudo(8), login(1) and their like do.
TEST_F(PamProvTest, EveryStageOfASessionSucceedsInOrder) {
  char typed[] = "secret";
  const pam_conv conversation{&Converse, typed};
  pam_handle_t* pam = nullptr;
  ASSERT_EQ(pam_start_confdir("prov-pop3", "alice@example.net", &conversation,
                              (directory_ + "/pam.d").c_str(), &pam),
            PAM_SUCCESS);
  EXPECT_EQ(pam_authenticate(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_acct_mgmt(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_chauthtok(pam, PAM_SILENT | PAM_CHANGE_EXPIRED_AUTHTOK), PAM_SUCCESS);  // none has expired
  EXPECT_EQ(pam_setcred(pam, PAM_ESTABLISH_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_open_session(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_setcred(pam, PAM_REINITIALIZE_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_close_session(pam, PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_setcred(pam, PAM_DELETE_CRED | PAM_SILENT), PAM_SUCCESS);
  EXPECT_EQ(pam_end(pam, PAM_SUCCESS), PAM_SUCCESS);
}

TEST_F(PamProvTest, StartTlsVerifiesTheDirectory) {
  Configure({slapd_->ldap_uri()},
            fmt::format("starttls = true\nca = \"{}\"\ntimeout = \"30s\"", slapd_->ca()));
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).account, PAM_SUCCESS);
  EXPECT_EQ(LogInThroughPam("alice@example.net", "wrong").authenticate, PAM_AUTH_ERR);
  Configure({slapd_->ldap_uri()}, "starttls = true");  // the system's CAs do not know ours
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

TEST_F(PamProvTest, NothingTravelsInClear) {
  Configure({slapd_->ldap_uri()});
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  EXPECT_EQ(LoadConfig(directory_ + "/pam_prov.toml").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PamProvTest, WrongConfigurationIsNamed) {
  const auto error = [this](const std::string& more) {
    Configure({slapd_->ldapi()}, more);
    return std::string(LoadConfig(directory_ + "/pam_prov.toml").status().message());
  };
  EXPECT_NE(error("colour = \"red\"").find("colour is not known"), std::string::npos);
  EXPECT_NE(error("timeout = \"3 parsecs\"").find("timeout"), std::string::npos);
  EXPECT_NE(error("timeout = 3").find("timeout"), std::string::npos);
  EXPECT_NE(error("timeout = \"99ms\"").find("from 100ms to 60000ms"), std::string::npos);
  EXPECT_NE(error("timeout = \"61s\"").find("from 100ms to 60000ms"), std::string::npos);
  EXPECT_NE(error(std::string(70'000, '#')).find("is larger than"), std::string::npos);
  EXPECT_NE(error("starttls = \"yes\"").find("starttls"), std::string::npos);
  EXPECT_NE(error("= 3").find("pam_prov.toml:5"), std::string::npos);
  EXPECT_EQ(error("timeout = \"500ms\"\ndead_for = \"1m\""), "");
  Configure(std::vector<std::string>(17, slapd_->ldapi()));
  EXPECT_FALSE(LoadConfig(directory_ + "/pam_prov.toml").ok());
  Configure(std::vector<std::string>(16, slapd_->ldapi()));
  EXPECT_TRUE(LoadConfig(directory_ + "/pam_prov.toml").ok());
  // RFC 4513 section 5.1.2: it would bind nobody.
  for (const std::string& password : {std::string(), std::string("\nsecret"), std::string(2000, 'x')}) {
    std::ofstream(directory_ + "/password") << password;
    EXPECT_FALSE(LoadConfig(directory_ + "/pam_prov.toml").ok()) << password;
  }
  std::filesystem::remove(directory_ + "/password");
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
  std::filesystem::remove(directory_ + "/pam_prov.toml");
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

TEST_F(PamProvTest, WrongServiceAccountSaysNothingAboutThePassword) {
  std::ofstream(directory_ + "/password") << "not it";
  EXPECT_EQ(LogInThroughPam("alice@example.net", kPassword).authenticate, PAM_AUTHINFO_UNAVAIL);
}

}  // namespace
}  // namespace prov::pam
