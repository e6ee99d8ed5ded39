// Replies of another server, and whole sessions of the client with it.
#include "agents/mail/smtp/client_machine.h"
#include "tests/fuzz/input.h"

namespace {

using prov::smtp::ClientMachine;
using prov::smtp::ClientStep;
using prov::smtp::Protocol;

// What goes out is lines of ours, whatever came in.
void CheckCommands(const std::string& output) {
  for (size_t i = 0; i < output.size(); ++i) {
    if (output[i] == '\r') FUZZ_CHECK(i + 1 < output.size() && output[i + 1] == '\n');
    if (output[i] == '\n') FUZZ_CHECK(i > 0 && output[i - 1] == '\r');
  }
  FUZZ_CHECK(output.size() < 4096);
}

void Play(Protocol protocol, prov::fuzz::Pieces pieces) {
  prov::smtp::ClientMessage message{"a@x.example", {"b@y.example", "c@y.example"}, 100, true};
  message.wishes = {{{.said = true}, "rfc822;b@y.example"}, {}};
  ClientMachine machine({protocol, "me.example", true}, message);
  for (int messages = 1;;) {
    const ClientStep step = machine.Next();
    CheckCommands(step.output);
    switch (step.kind) {
      case ClientStep::Kind::kNeedInput: {
        const std::string_view piece = pieces.Next();
        piece.empty() ? machine.ConnectionLost("it is gone") : machine.Input(piece);
        break;
      }
      case ClientStep::Kind::kSendContent:
        machine.ContentSent();
        break;
      case ClientStep::Kind::kStartTls:
        machine.Secured();
        break;
      case ClientStep::Kind::kSend:
        break;
      case ClientStep::Kind::kDone:
        for (const prov::smtp::Reply& reply : machine.replies()) {
          FUZZ_CHECK(reply.code / 100 == 2 || reply.code / 100 == 4 || reply.code / 100 == 5);
        }
        if (!machine.ready() || ++messages > 3) return;
        machine.Begin(message);
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play(Protocol::kSmtp, prov::fuzz::Pieces(data, size));
  Play(Protocol::kLmtp, prov::fuzz::Pieces(data, size));
  return 0;
}
