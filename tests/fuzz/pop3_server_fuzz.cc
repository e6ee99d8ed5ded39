// Whole sessions of the POP3 server.
#include <vector>

#include "agents/mail/pop3/machine.h"
#include "tests/fuzz/input.h"

namespace {

using prov::pop3::Machine;
using prov::pop3::Step;

void CheckOutput(const std::string& output) {
  for (size_t i = 0; i < output.size(); ++i) {
    const char c = output[i];
    FUZZ_CHECK((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
    if (c == '\n') FUZZ_CHECK(i > 0 && output[i - 1] == '\r');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<prov::maildir::Message> messages(3);
  for (size_t i = 0; i < messages.size(); ++i) {
    messages[i].octets = 1000 + i;
    messages[i].uidl = "unique";
  }
  // The first octet chooses who we are to the peer.
  const bool trusted = size > 0 && (data[0] & 1) != 0, utf8 = size > 0 && (data[0] & 2) != 0;
  Machine machine(
      "pop.example.net", prov::net::TlsUse::kOnDemand,
      {.trusted = trusted, .utf8 = utf8, .capabilities = {"EXPIRE 30 USER", "LOGIN-DELAY 900 USER"}});
  prov::fuzz::Pieces pieces(data, size);
  for (;;) {
    const Step step = machine.Next();
    switch (step.kind) {
      case Step::Kind::kNeedInput: {
        const std::string_view piece = pieces.Next();
        if (piece.empty()) return 0;
        machine.Input(piece);
        break;
      }
      case Step::Kind::kOutput:
        CheckOutput(step.output);
        break;
      case Step::Kind::kLogin:
        if (step.login.size() % 2 == 0) {
          machine.LoggedIn(messages, {"EXPIRE NEVER"});
        } else {
          machine.LoginFailed(prov::pop3::LoginFailure::kRefused);
        }
        break;
      case Step::Kind::kXclient:
        FUZZ_CHECK(trusted);
        for (const std::string* told : {&step.client.address, &step.client.session}) {
          FUZZ_CHECK(told->size() <= prov::pop3::kMaxSessionOctets);
          for (const char c : *told) FUZZ_CHECK(c > ' ' && c <= '~');
        }
        break;
      case Step::Kind::kSend:
        FUZZ_CHECK(step.index < messages.size());
        CheckOutput(machine.Sending(step));
        break;
      case Step::Kind::kRemove:
        for (const size_t index : step.indices) FUZZ_CHECK(index < messages.size());
        machine.Removed(true);
        break;
      case Step::Kind::kStartTls:
        machine.Secured();
        break;
      case Step::Kind::kClose:
        return 0;
    }
  }
}
