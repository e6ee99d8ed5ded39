#include "agents/mail/smtp/client_session.h"

#include <asio/use_awaitable.hpp>

#include "agents/mail/smtp/content_encoder.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr std::chrono::seconds kContentPatience{180};  // RFC 5321 section 4.5.3.2.5
constexpr std::chrono::seconds kHandshakePatience{60};
constexpr std::chrono::seconds kFarewellPatience{5};

// One piece is read ahead, so that the last one goes together with the end.
asio::awaitable<absl::Status> SendContent(net::Connection& connection, const ContentSource& content) {
  ContentEncoder encoder;
  std::string wire;
  absl::StatusOr<std::string> piece = co_await content();
  for (;;) {
    if (!piece.ok()) co_return piece.status();
    wire.clear();
    encoder.Encode(*piece, wire);
    bool last = piece->empty();
    if (!last) {
      piece = co_await content();
      last = piece.ok() && piece->empty();
    }
    if (last) encoder.Finish(wire);
    const absl::Status written = co_await connection.Write(wire, kContentPatience);
    if (!written.ok() || last) co_return written;
  }
}

}  // namespace

asio::awaitable<void> RunClient(net::Connection& connection, ClientMachine& machine,
                                const ContentSource& content, const net::TlsParty* tls) {
  for (;;) {
    const ClientStep step = machine.Next();
    absl::Status status;
    switch (step.kind) {
      case ClientStep::Kind::kSend:
        status = co_await connection.Write(step.output, step.timeout);
        break;
      case ClientStep::Kind::kNeedInput: {
        const absl::StatusOr<std::string_view> got = co_await connection.Read(step.timeout);
        status = got.status();
        if (got.ok()) machine.Input(*got);
        break;
      }
      case ClientStep::Kind::kSendContent:
        status = co_await SendContent(connection, content);
        if (status.ok()) machine.ContentSent();
        break;
      case ClientStep::Kind::kStartTls:
        status = co_await connection.StartTls(*tls, kHandshakePatience);
        if (status.ok()) machine.Secured();
        break;
      case ClientStep::Kind::kDone:
        // A farewell, if any; whether it is heard changes nothing.
        status = co_await connection.Write(step.output, kFarewellPatience);
        co_return;
    }
    if (!status.ok()) {
      machine.ConnectionLost(MessageOf(status));
      connection.Close();
    }
  }
}

}  // namespace prov::smtp
