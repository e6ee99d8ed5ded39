// What may say no to a mail: asked at connect, HELO, MAIL, RCPT, header end and message end.
//
// A policy answers with go-on or with the reply to give. The first refusal of a chain wins. One object serves
// all sessions of a listener.
#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace prov::policy {

struct Verdict {
  int code = 0;          // 0: go on; otherwise an SMTP reply code, 4xx or 5xx
  std::string enhanced;  // RFC 3463
  std::string text;
  bool close = false;

  bool go_on() const { return code == 0; }
};

struct Client {
  std::string address;              // "192.0.2.1"
  bool trusted = false;             // may relay to other domains
  std::string hello;                // as it named itself; empty before HELO
  std::string login;                // of a subscriber, lower case; empty: nobody logged in
  uint64_t credential_version = 0;  // of the login, when it was accepted
};

struct Recipient {
  std::string text;        // as it came
  std::string local_part;  // unquoted
  std::string domain;
  bool source_route = false, quoted = false, literal = false;  // well-formed, and not routable
  bool postmaster = false;                                     // <Postmaster>, without a domain
};

struct Envelope {
  std::string trace;   // names the message in logs
  std::string sender;  // empty: null
  std::vector<std::string> recipients;
};

struct Header {
  int received = 0;
  std::vector<std::string> delivered_to;
};

// Sessions on any of the event loops ask at once: what a policy remembers is guarded, and it does not block.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual asio::awaitable<Verdict> Connect(const Client& client);
  virtual asio::awaitable<Verdict> Hello(const Client& client);
  virtual asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope);
  virtual asio::awaitable<Verdict> Rcpt(const Client& client, const Envelope& envelope,
                                        const Recipient& recipient);
  virtual asio::awaitable<Verdict> HeaderEnd(const Client& client, const Envelope& envelope,
                                             const Header& header);
  virtual asio::awaitable<Verdict> MessageEnd(const Client& client, const Envelope& envelope,
                                              uint64_t octets);
};

// Asks each in turn; what it refers to must outlive it.
class Chain final : public Policy {
 public:
  explicit Chain(std::vector<Policy*> policies) : policies_(std::move(policies)) {}
  asio::awaitable<Verdict> Connect(const Client& client) override;
  asio::awaitable<Verdict> Hello(const Client& client) override;
  asio::awaitable<Verdict> Mail(const Client& client, const Envelope& envelope) override;
  asio::awaitable<Verdict> Rcpt(const Client& client, const Envelope& envelope,
                                const Recipient& recipient) override;
  asio::awaitable<Verdict> HeaderEnd(const Client& client, const Envelope& envelope,
                                     const Header& header) override;
  asio::awaitable<Verdict> MessageEnd(const Client& client, const Envelope& envelope,
                                      uint64_t octets) override;

 private:
  const std::vector<Policy*> policies_;
};

}  // namespace prov::policy
