// What the module writes into the system's log.
#include <security/pam_ext.h>
#include <stdarg.h>
#include <stdio.h>

#include <string>

#include "pam_module/testing/pam_directory.h"

namespace {

std::string logged;

}  // namespace

// In place of libpam's.
extern "C" void pam_syslog(const pam_handle_t*, int, const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  logged += line;
  logged += "\n";
}

namespace prov::pam {
namespace {

class PamLogTest : public PamProvTest {
 protected:
  void SetUp() override {
    PamProvTest::SetUp();
    logged.clear();
  }

  // What a login from there is logged as.
  std::string LoggedOf(const std::string& login, const std::string& password, const char* remote) {
    std::string typed = password;
    const pam_conv conversation{&Converse, typed.data()};
    pam_handle_t* pam = nullptr;
    EXPECT_EQ(
        pam_start_confdir("prov-pop3", login.c_str(), &conversation, (directory_ + "/pam.d").c_str(), &pam),
        PAM_SUCCESS);
    EXPECT_EQ(pam_set_item(pam, PAM_RHOST, remote), PAM_SUCCESS);
    logged.clear();
    pam_authenticate(pam, PAM_SILENT);
    pam_end(pam, PAM_SUCCESS);
    return logged;
  }
};

TEST_F(PamLogTest, ARefusalTellsWhoAndFromWhereAndNoPassword) {
  EXPECT_EQ(LoggedOf("alice@example.net", "wr0ng", "2001:db8::1"),
            "wrong password for service prov-pop3, login alice@example.net, from 2001:db8::1\n");
  EXPECT_EQ(LoggedOf("alice@example.net", kPassword, "192.0.2.1"), "");
}

TEST_F(PamLogTest, WhatMayBeAPasswordInTheWrongFieldIsNotShown) {
  EXPECT_EQ(LoggedOf("my secret", kPassword, "192.0.2.1"),
            "no login name for service prov-pop3, login (not shown), from 192.0.2.1\n");
}

// The client's own DNS may have made it up.
TEST_F(PamLogTest, AHostsNameCannotForgeALine) {
  EXPECT_EQ(LoggedOf("nobody@example.net", "x", "a\nb\x1b[2J, from 192.0.2.9"),
            "unknown for service prov-pop3, login nobody@example.net, from a?b??2J??from?192.0.2.9\n");
  const std::string line = LoggedOf("nobody@example.net", "x", std::string(1000, 'a').c_str());
  EXPECT_TRUE(line.ends_with(", from " + std::string(64, 'a') + "\n")) << line;
}

}  // namespace
}  // namespace prov::pam
