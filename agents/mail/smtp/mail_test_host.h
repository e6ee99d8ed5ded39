// A relay and a store with real sockets, real state and real files, in one process, for tests.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agents/config.h"
#include "agents/mail/net/blocking.h"
#include "agents/mail/smtp/mail_server.h"
#include "agents/state/reader.h"
#include "agents/state/writer.h"

namespace prov::smtp {

// One host's directory, state and server. The server runs on a thread of its own.
class MailTestHost {
 public:
  MailTestHost(const std::string& directory, v1::Role role);
  ~MailTestHost();

  // Fills the state with a snapshot that is current.
  void Fill(const std::vector<v1::Record>& records, uint64_t revision = 1);
  // The newest revision that provd told of, just now.
  void Confirm(uint64_t head);
  void Start();
  // As prov-engine does at SIGTERM.
  void Stop();

  AgentConfig config;
  uint16_t port() const { return server_->ports().front(); }
  state::StateWriter& writer() { return *writer_; }

 private:
  const v1::Role role_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> reader_;
  std::unique_ptr<asio::io_context> loop_;
  std::unique_ptr<net::BlockingPool> pool_;
  std::unique_ptr<MailServer> server_;
  std::thread thread_;
};

// A client that says what it likes, and waits for what is said.
class WireClient {
 public:
  explicit WireClient(uint16_t port);
  ~WireClient();
  void Send(const std::string& octets);
  // One whole reply, perhaps of several lines; what came until the end if the connection is closed.
  std::string Reply();
  std::string Ask(const std::string& command) {
    Send(command + "\r\n");
    return Reply();
  }
  bool connected() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
  std::string buffer_;
};

v1::Record DomainRecord(const std::string& name, const std::string& alias_of = "",
                        const std::string& catch_all = "");
v1::Record PoolRecord(const std::string& lmtp);
v1::Record RouteTo(const std::string& address, v1::Disposition receive = v1::ALLOW);
v1::Record MailboxOf(const std::string& id, const std::string& address,
                     const std::vector<std::string>& forwards = {}, bool keep_copy = false,
                     v1::Disposition receive = v1::ALLOW);

// Contents of the messages in a Maildir's new/, LF line ends.
std::vector<std::string> MessagesIn(const std::string& root, const std::string& mailbox_id);

// Files in a directory; 0 if it is not there.
size_t CountFiles(const std::string& directory);

// Polls until it holds; false after 20 s.
bool Eventually(const std::function<bool()>& holds);

}  // namespace prov::smtp
