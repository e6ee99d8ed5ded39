// Whole sessions of the server: SMTP, submission and LMTP.
#include "agents/mail/smtp/server_machine.h"
#include "tests/fuzz/input.h"

namespace {

using prov::smtp::Event;
using prov::smtp::Protocol;
using prov::smtp::Reply;
using prov::smtp::ServerMachine;

void CheckOutput(const std::string& output) {
  for (size_t i = 0; i < output.size(); ++i) {
    const char c = output[i];
    FUZZ_CHECK((c >= ' ' && c <= '~') || c == '\r' || c == '\n');
    if (c == '\n') FUZZ_CHECK(i > 0 && output[i - 1] == '\r');
  }
}

class Server {
 public:
  explicit Server(prov::smtp::ServerOptions options)
      : lmtp_(options.protocol == Protocol::kLmtp), machine_(options) {
    machine_.Greet();
  }

  // False: it closed.
  bool Take(std::string_view piece) {
    machine_.Input(piece);
    for (;;) {
      Event event = machine_.Next();
      CheckOutput(machine_.TakeOutput());
      if (event.kind == Event::Kind::kNeedInput) return true;
      if (event.kind == Event::Kind::kClose) return false;
      Handle(event);
    }
  }

 private:
  void Handle(Event& event) {
    switch (event.kind) {
      case Event::Kind::kLogin:
        return machine_.Answer(event.text.size() % 2 == 0 ? Reply{235, "2.7.0", "yes"}
                                                          : Reply{535, "5.7.8", "no"});
      case Event::Kind::kXclient:
        return machine_.Answer({220, "", "mx.example.net ESMTP"});
      case Event::Kind::kRecipient:
        if (event.recipient.path.local_part.size() % 4 == 3)
          return machine_.Answer({550, "5.1.1", event.recipient.path.text});
        ++recipients_;
        return machine_.Answer({250, "2.1.5", "ok"});
      case Event::Kind::kMail:
        recipients_ = 0;
        FUZZ_CHECK(content_ == 0);
        return machine_.Answer({250, "2.1.0", "ok"});
      case Event::Kind::kData:
        FUZZ_CHECK(recipients_ > 0);
        return machine_.Answer({354, "", "go on"});
      case Event::Kind::kContent:
        content_ += event.text.size();
        return;
      case Event::Kind::kMessageEnd:
        FUZZ_CHECK(content_ == machine_.message_octets());
        content_ = 0;
        return machine_.AnswerMessage(std::vector<Reply>(lmtp_ ? recipients_ : 1, {250, "2.0.0", "taken"}));
      case Event::Kind::kReset:
        content_ = 0;
        return;
      case Event::Kind::kStartTls:
        return machine_.Secured();
      case Event::Kind::kHello:
        return machine_.Answer({250, "", "hello"});
      default:
        return;
    }
  }

  const bool lmtp_;
  ServerMachine machine_;
  size_t recipients_ = 0;
  uint64_t content_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const prov::net::TlsUse tls = prov::net::TlsUse::kOnDemand;
  for (const prov::smtp::ServerOptions& options :
       {prov::smtp::ServerOptions{Protocol::kSmtp, "mx.example.net", 4096, tls, false, true},
        prov::smtp::ServerOptions{Protocol::kSmtp, "mx.example.net", 4096, tls, true, false},
        prov::smtp::ServerOptions{Protocol::kLmtp, "mx.example.net", 4096, tls, false, false}}) {
    Server server(options);
    prov::fuzz::Pieces pieces(data, size);
    for (std::string_view piece = pieces.Next(); !piece.empty(); piece = pieces.Next()) {
      if (!server.Take(piece)) break;
    }
  }
  return 0;
}
