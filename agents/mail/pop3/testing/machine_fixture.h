// A POP3 machine, and what it says and asks.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/mail/pop3/machine.h"

namespace prov::pop3 {

// Runs a machine whose every login with the password "right" succeeds, and records what it says and asks.
class MachineTest : public testing::Test {
 protected:
  explicit MachineTest(net::TlsUse tls = net::TlsUse::kNone, MachineOptions options = {})
      : machine_("mail.example.net", tls, std::move(options)) {
    Run();
  }

  // What the machine says to these octets, up to the point where it wants more.
  std::string Say(std::string_view octets) {
    machine_.Input(octets);
    return Run();
  }

  std::string LogIn() { return Say("USER alice\r\nPASS right\r\n"); }

  std::string Run() {
    std::string said;
    for (;;) {
      Step step = machine_.Next();
      switch (step.kind) {
        case Step::Kind::kNeedInput:
          return said;
        case Step::Kind::kOutput:
          said += step.output;
          break;
        case Step::Kind::kLogin:
          ++logins_;
          login_ = step.login;
          password_ = step.password.Reveal();
          if (password_ == "right") {
            machine_.LoggedIn(messages_, capabilities_);
          } else if (password_ == "inuse") {
            machine_.LoginFailed(LoginFailure::kInUse);
          } else if (password_ == "toosoon") {
            machine_.LoginFailed(LoginFailure::kTooSoon);
          } else if (password_ == "down") {
            machine_.LoginFailed(LoginFailure::kTemporary);
          } else {
            machine_.LoginFailed(LoginFailure::kRefused);
          }
          break;
        case Step::Kind::kSend:
          if (gone_) {
            machine_.MessageGone(false);
          } else {
            said += machine_.Sending(step) + fmt::format("<{}>\r\n.\r\n", step.index);
            body_lines_ = step.body_lines;
          }
          break;
        case Step::Kind::kXclient:
          clients_.push_back(step.client);
          break;
        case Step::Kind::kRemove:
          ++leavings_;
          removed_ = step.indices;
          machine_.Removed(!unlink_fails_);
          break;
        case Step::Kind::kStartTls:
          ++handshakes_;
          machine_.Secured();
          break;
        case Step::Kind::kClose:
          closed_ = true;
          return said;
      }
    }
  }

  const std::vector<maildir::Message> messages_ = {{120, "id-one"}, {200, "id-two"}, {7, "id-three"}};
  Machine machine_;
  std::vector<std::string> capabilities_;  // after the login
  std::vector<Xclient> clients_;
  int leavings_ = 0;
  int logins_ = 0;
  int handshakes_ = 0;
  std::string login_, password_;
  std::optional<uint64_t> body_lines_;
  std::vector<size_t> removed_;
  bool gone_ = false;
  bool unlink_fails_ = false;
  bool closed_ = false;
};

class MachineWithTls : public MachineTest {
 protected:
  MachineWithTls() : MachineTest(net::TlsUse::kOnDemand) {}
};

}  // namespace prov::pop3
