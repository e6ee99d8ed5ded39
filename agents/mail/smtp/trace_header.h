// The header fields that relay and store add: RFC 5321 section 4.4. Pure.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace prov::smtp {

struct ReceivedBy {
  std::string hello;           // as the client named itself; what is no host's name becomes "unknown"
  std::string client_address;  // "192.0.2.1"
  std::string hostname;        // ours
  std::string with;            // "SMTP", "ESMTPSA", "LMTPS" (RFC 3848), "UTF8SMTP" (RFC 6531 section 4.3)
  std::string cipher;          // of TLS (RFC 8314 section 4.3); empty in clear
  std::string id;              // the trace id
  std::string recipient;       // the only one; empty when there are others, whom nobody else shall see
  std::chrono::system_clock::time_point time;
};

// "Received: …\r\n", folded.
std::string FormatReceived(const ReceivedBy& received);

// The id of a Received field that such a host wrote, if it may be a trace id of ours; empty otherwise.
std::string TraceIdOf(std::string_view received);

// What a message of that id, made by queue::Spool::NewId, is called in a Maildir: the relay that lost our
// answer says the same id again. Empty when it is another kind of id.
std::string MaildirNameOf(std::string_view id);

}  // namespace prov::smtp
