#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "agents/mail/maildir/layout.h"
#include "agents/mail/net/testing/test_certificate.h"
#include "agents/mail/queue/testing/test_spool.h"
#include "agents/mail/smtp/mail_server.h"
#include "agents/mail/smtp/testing/mail_client.h"
#include "agents/mail/smtp/testing/mail_host.h"

namespace prov::smtp {
namespace {

const std::string kMessage = "From: a@sender.example\r\nSubject: hello\r\n\r\nbody\r\n";

bool Has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::string WithLf(std::string text) {
  for (size_t at = text.find("\r\n"); at != text.npos; at = text.find("\r\n", at)) text.erase(at, 1);
  return text;
}

// A client that was greeted.
MailClient Greeted(uint16_t port, const char* hello = "EHLO client.example") {
  MailClient client(port);
  EXPECT_TRUE(client.Reply().starts_with("220 "));
  EXPECT_TRUE(client.Ask(hello).starts_with("250 "));
  return client;
}
// What the server says to the whole message.
std::string SendMessage(MailClient& client, const std::string& sender,
                        const std::vector<std::string>& recipients, const std::string& content = kMessage) {
  EXPECT_TRUE(client.Ask("MAIL FROM:<" + sender + ">").starts_with("250 "));
  for (const std::string& recipient : recipients) {
    EXPECT_TRUE(client.Ask("RCPT TO:<" + recipient + ">").starts_with("250 ")) << recipient;
  }
  EXPECT_TRUE(client.Ask("DATA").starts_with("354 "));
  client.Send(content + ".\r\n");
  return client.Reply();
}
// What a fresh client is told at RCPT.
std::string Rcpt(uint16_t port, const std::string& path, const char* hello = "EHLO client.example") {
  MailClient client = Greeted(port, hello);
  return client.AskAll({"MAIL FROM:<a@sender.example>", "RCPT TO:" + path});
}
std::string LmtpRcpt(uint16_t port, const std::string& path) {
  return Rcpt(port, path, "LHLO relay.example");
}

// An SMTP server of somebody else's: takes one message per connection, answers as the script says.
class OtherServer {
 public:
  // `closes`: the connection after each message.
  explicit OtherServer(std::string data_reply = "250 2.0.0 ok", std::string extension = "8BITMIME",
                       bool closes = false)
      : data_reply_(std::move(data_reply)), extension_(std::move(extension)), closes_(closes) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~OtherServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string address() const { return fmt::format("127.0.0.1:{}", port_); }
  std::vector<std::string> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::vector<std::string> commands() {
    const std::lock_guard lock(mutex_);
    return commands_;
  }

 private:
  void Run() {
    for (;;) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      Serve(MailClient::Adopt(fd));
    }
  }
  void Serve(MailClient peer) {
    peer.Send("220 other.example ESMTP\r\n");
    for (std::string line = peer.Line(); !line.empty(); line = peer.Line()) {
      {
        const std::lock_guard lock(mutex_);
        commands_.push_back(line);
      }
      if (line.starts_with("EHLO")) {
        peer.Send("250-other.example\r\n250-PIPELINING\r\n250-" + extension_ + "\r\n250 SIZE 1000000\r\n");
      } else if (line == "STARTTLS") {
        peer.Send("220 2.0.0 go on\r\nno TLS at all\r\n");
        return;
      } else if (line == "DATA") {
        peer.Send("354 go on\r\n");
        const std::string text = peer.UpToDot();
        {
          const std::lock_guard lock(mutex_);
          messages_.push_back(text);
        }
        peer.Send(data_reply_ + "\r\n");
        if (closes_) return;
      } else {
        peer.Send("250 2.0.0 ok\r\n");
      }
      if (line == "QUIT") return;
    }
  }

  const std::string data_reply_, extension_;
  const bool closes_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> messages_, commands_;
};

TEST(Mail, TheStoreIsReachedThroughTlsWhereItHasACertificate) {
  MailHost host;
  const state::TestDirectory directory;
  host.tls = *net::TlsServer::Load({net::WriteTestCertificate(directory.path(), "host.example.net")});
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  host.AddPool({host.StartStore()});
  MailClient client = Greeted(host.StartRelay());
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"user1@example.net"}).starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 1; }));
  const std::string mail = host.Mail("box-1").front();
  EXPECT_TRUE(Has(mail, "with LMTPS id "));
  EXPECT_TRUE(Has(mail, "tls TLS_")) << mail;
  EXPECT_TRUE(Has(mail, "with ESMTP id ")) << "the client spoke in clear";
}

// RFC 7435: better in clear than not at all, as if TLS had not been offered.
TEST(Mail, AServerWhoseTlsIsBrokenGetsTheMailInClear) {
  OtherServer other("250 2.0.0 ok", "STARTTLS");
  MailHost host;
  host.config.engine.smtp.smarthost = other.address();
  host.config.engine.smtp.trusted_networks = {"127.0.0.1"};
  MailClient client = Greeted(host.StartRelay());
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"b@elsewhere.example"}).starts_with("250 "));
  EXPECT_TRUE(Eventually([&] { return other.messages().size() == 1; }));
  const std::vector<std::string> commands = other.commands();
  EXPECT_EQ(std::count(commands.begin(), commands.end(), "STARTTLS"), 1);
}

TEST(Mail, FromTheRelayIntoTheMaildirUnaltered) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  host.AddPool({host.StartStore()});
  std::string body = "..two dots\r\n.\r\n\xe9\xff 8-bit\r\n" + std::string(200'000, 'x') + "\r\n\r\n";
  while (body.size() < 700'000) body += "0123456789 abcdef\r\n";
  std::string wire = body;
  wire.replace(0, 2, "...");  // stuffed
  wire.replace(wire.find("\r\n.\r\n"), 5, "\r\n..\r\n");
  MailClient client = Greeted(host.StartRelay());
  const std::string reply =
      SendMessage(client, "a@sender.example", {"User1@Example.NET"}, "Subject: x\r\n\r\n" + wire);
  ASSERT_TRUE(reply.starts_with("250 2.0.0 ")) << reply;
  ASSERT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 1; }));
  const std::string mail = host.Mail("box-1").front();
  EXPECT_TRUE(
      mail.starts_with("Return-Path: <a@sender.example>\nDelivered-To: user1@example.net\nReceived: "));
  EXPECT_TRUE(mail.ends_with("Subject: x\n\n" + WithLf(body)));
  // One trace id from the relay's log to the store's.
  const std::string id = reply.substr(reply.rfind(' ') + 1);
  EXPECT_TRUE(Has(mail, "with LMTP id " + id));
  EXPECT_TRUE(Has(mail, "with ESMTP id " + id));
  EXPECT_TRUE(Has(mail, "from client.example ([127.0.0.1])"));
  EXPECT_TRUE(Eventually([&] { return host.Queued("relay") == 0; }));
}

// Nobody relays through us to other domains but networks that are named, and no address routes by itself.
TEST(Mail, NoOpenRelay) {
  for (const bool trusted : {false, true}) {
    MailHost host;
    host.AddDomain("example.net");
    host.AddSubscriber(1);
    if (trusted) host.config.engine.smtp.trusted_networks = {"127.0.0.0/8"};
    const uint16_t port = host.StartRelay();
    EXPECT_TRUE(Rcpt(port, "<user1@example.net>").starts_with("250 "));
    EXPECT_TRUE(Rcpt(port, "<x@other.example>").starts_with(trusted ? "250 " : "550 5.7.1 "));
    for (const char* path :
         {"<user1%other.example@example.net>", "<other.example!user1@example.net>",
          "<\"user1@other.example\"@example.net>", "<\"user1\"@example.net>",
          "<@example.net:x@other.example>", "<@other.example:user1@example.net>", "<user1@[127.0.0.1]>",
          "<x@[192.0.2.1]>", "<x@[IPv6:2001:db8::1]>", "<x%other.example@[127.0.0.1]>",
          "<\"x@other.example\"@other.example>", "<x!y%z@other.example>"}) {
      const std::string reply = Rcpt(port, path);
      EXPECT_TRUE(reply.starts_with("550 5.7.1 ")) << path << ": " << reply;
    }
    for (const char* path :
         {"<>", "<x>", "<\"\">", "<x@>", "<@example.net>", "<user1@example.net@other.example>",
          "user1@example.net", "<user1@example.net", "<user1@exam ple.net>", "<;sh;>"}) {
      const std::string reply = Rcpt(port, path);
      EXPECT_TRUE(reply.starts_with("501 ")) << path << ": " << reply;
    }
  }
}

TEST(Mail, UnknownIsFinalOnlyWhileTheCopyIsCurrent) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  const uint16_t relay = host.StartRelay(), store = host.StartStore();
  EXPECT_TRUE(Rcpt(relay, "<nobody@example.net>").starts_with("550 5.1.1 "));
  EXPECT_TRUE(LmtpRcpt(store, "<nobody@example.net>").starts_with("550 5.1.1 "));
  EXPECT_TRUE(Rcpt(relay, "<x@other.example>").starts_with("550 5.7.1 "));
  host.Confirm(std::chrono::system_clock::now() - std::chrono::hours(1));
  EXPECT_TRUE(Rcpt(relay, "<nobody@example.net>").starts_with("451 4.3.0 "));
  EXPECT_TRUE(LmtpRcpt(store, "<nobody@example.net>").starts_with("451 4.3.0 "));
  EXPECT_TRUE(Rcpt(relay, "<x@other.example>").starts_with("451 4.3.0 "));
  EXPECT_TRUE(Rcpt(relay, "<user1@example.net>").starts_with("250 "));  // known is known (I5)
  EXPECT_TRUE(LmtpRcpt(store, "<user1@example.net>").starts_with("250 "));
}

TEST(Mail, TheLifecycleDecidesAtRcpt) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddDomain("alias.example", "example.net");
  host.AddDomain("catch.example", "", "user1@example.net");
  host.AddSubscriber(1);
  host.AddSubscriber(2, v1::TEMPFAIL);
  host.AddSubscriber(3, v1::REJECT_PERMANENTLY);
  const uint16_t relay = host.StartRelay(), store = host.StartStore();
  const std::map<std::string, std::string> expected = {
      {"<user1@example.net>", "250 "},      {"<USER1@EXAMPLE.NET>", "250 "},
      {"<user2@example.net>", "451 4.2.1"}, {"<user3@example.net>", "550 5.2.1"},
      {"<user1@alias.example>", "250 "},    {"<user3@alias.example>", "550 5.2.1"},
      {"<x@alias.example>", "550 5.1.1"},   {"<whoever@catch.example>", "250 "},
  };
  for (const auto& [path, reply] : expected) {
    EXPECT_TRUE(Rcpt(relay, path).starts_with(reply)) << path;
    EXPECT_TRUE(LmtpRcpt(store, path).starts_with(reply)) << path;
  }
}

TEST(Mail, LmtpAnswersForEachRecipient) {
  MailHost host;
  host.AddDomain("example.net");
  for (const int id : {1, 2, 3}) host.AddSubscriber(id);
  // Mailbox 2 cannot be written: a file is where its directory should be.
  const std::string path = *maildir::MailboxPath(host.config.store.maildir_root, "box-2");
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << "in the way";
  MailClient client = Greeted(host.StartStore(), "LHLO relay.example");
  const std::string first =
      SendMessage(client, "", {"user1@example.net", "user2@example.net", "user3@example.net"});
  EXPECT_TRUE(first.starts_with("250 ")) << first;
  EXPECT_TRUE(client.Reply().starts_with("451 4.3.0 "));
  EXPECT_TRUE(client.Reply().starts_with("250 "));
  EXPECT_EQ(host.Mail("box-1").size(), 1u);
  EXPECT_EQ(host.Mail("box-3").size(), 1u);
  EXPECT_TRUE(host.Mail("box-1").front().starts_with("Return-Path: <>\n"));
  EXPECT_TRUE(client.Ask("NOOP").starts_with("250 "));
}

TEST(Mail, AFullMailboxIsToldAsTheConfigurationHasIt) {
  for (const bool defers : {false, true}) {
    MailHost host;
    host.AddDomain("example.net");
    host.AddSubscriber(1);
    host.AddSubscriber(2);
    host.SetQuota(1, 2000);
    host.config.store.defers_over_quota = defers;
    MailClient client = Greeted(host.StartStore(), "LHLO client.example");
    for (const bool full : {false, true}) {
      const std::string first =
          SendMessage(client, "a@sender.example", {"user1@example.net", "user2@example.net"},
                      "Subject: x\r\n\r\n" + std::string(1200, 'x') + "\r\n");
      EXPECT_TRUE(first.starts_with(!full ? "250 " : defers ? "452 4.2.2 " : "552 5.2.2 ")) << first;
      EXPECT_TRUE(client.Reply().starts_with("250 ")) << "the other one has room";
    }
    EXPECT_EQ(host.Mail("box-1").size(), 1u);
    EXPECT_EQ(host.Mail("box-2").size(), 2u);
  }
}

TEST(Mail, ForwardsKeepTheirSenderAndReachTheRelay) {
  OtherServer other;
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1, v1::ALLOW, {"x@other.example", "y@other.example"});
  host.AddSubscriber(2, v1::ALLOW, {"z@other.example"}, true);
  host.config.engine.lmtp.forward_relay = other.address();
  MailClient client = Greeted(host.StartStore(), "LHLO relay.example");
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"user1@example.net"}).starts_with("250 "));
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"user2@example.net"}).starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return other.messages().size() == 2; }));
  EXPECT_TRUE(Eventually([&] { return host.Queued("forward") == 0; }));
  EXPECT_TRUE(host.Mail("box-1").empty());
  EXPECT_EQ(host.Mail("box-2").size(), 1u);
  EXPECT_TRUE(other.messages().front().ends_with(kMessage));
  const std::vector<std::string> commands = other.commands();
  const auto said = [&](const std::string& start) {
    return std::any_of(commands.begin(), commands.end(), [&](const auto& c) { return c.starts_with(start); });
  };
  EXPECT_TRUE(said("MAIL FROM:<a@sender.example> SIZE="));
  EXPECT_TRUE(said("RCPT TO:<x@other.example>") && said("RCPT TO:<y@other.example>"));
}

// user1 forwards to user2 and user2 to user1: each keeps one copy, and the sender hears of it once.
TEST(Mail, ForwardsInACircleEnd) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1, v1::ALLOW, {"user2@example.net"}, true);
  host.AddSubscriber(2, v1::ALLOW, {"user1@example.net"}, true);
  host.AddSubscriber(3);
  const uint16_t relay = host.StartRelay();
  host.config.engine.lmtp.forward_relay = fmt::format("127.0.0.1:{}", relay);
  host.AddPool({host.StartStore()});
  MailClient client = Greeted(relay);
  EXPECT_TRUE(SendMessage(client, "user3@example.net", {"user1@example.net"}).starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return host.Mail("box-3").size() == 1; }));
  EXPECT_TRUE(Has(host.Mail("box-3").front(), "5.4.6"));
  EXPECT_TRUE(Eventually([&] { return host.Queued("relay") + host.Queued("forward") == 0; }));
  EXPECT_EQ(host.Mail("box-1").size(), 1u);
  EXPECT_EQ(host.Mail("box-2").size(), 1u);
  EXPECT_EQ(host.Mail("box-3").size(), 1u);
}

TEST(Mail, AnotherHostOfThePoolTakesOver) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  const uint16_t live = host.StartStore();
  const int dead = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // bound, not listening: refuses
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(dead, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(getsockname(dead, reinterpret_cast<sockaddr*>(&address), &length), 0);
  host.AddPool({ntohs(address.sin_port), live});
  MailClient client = Greeted(host.StartRelay());
  for (size_t n = 1; n <= 10; ++n) {
    EXPECT_TRUE(SendMessage(client, "", {"user1@example.net"}).starts_with("250 "));
  }
  EXPECT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 10; }));
  close(dead);
}

TEST(Mail, WaitsForAPoolThatIsNotThereYet) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  MailClient client = Greeted(host.StartRelay());
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"user1@example.net"}).starts_with("250 "));
  EXPECT_EQ(host.Queued("relay"), 1u);
  host.AddPool({host.StartStore()});
  EXPECT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 1; }));
}

TEST(Mail, RefusedByTheSmarthostComesBackToItsSender) {
  OtherServer other("554 5.7.1 no");
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  host.config.engine.smtp.trusted_networks = {"127.0.0.1"};
  host.config.engine.smtp.smarthost = other.address();
  host.AddPool({host.StartStore()});
  MailClient client = Greeted(host.StartRelay());
  EXPECT_TRUE(SendMessage(client, "user1@example.net", {"x@other.example"}).starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 1; }));
  const std::string told = host.Mail("box-1").front();
  EXPECT_TRUE(told.starts_with("Return-Path: <>\n"));
  EXPECT_TRUE(Has(told, "Final-Recipient: rfc822; x@other.example\nAction: failed\nStatus: 5.7.1\n"));
  // The null sender hears nothing.
  EXPECT_TRUE(SendMessage(client, "", {"x@other.example"}).starts_with("250 "));
  EXPECT_TRUE(Eventually([&] { return host.Queued("relay", "dead") == 1; }));
  EXPECT_EQ(host.Queued("relay"), 0u);
}

// Three messages to a smarthost, each when the one before has arrived; the number of sessions it saw.
size_t SessionsOfThreeMessages(OtherServer& other) {
  MailHost host;
  host.config.engine.smtp.trusted_networks = {"127.0.0.1"};
  host.config.engine.smtp.smarthost = other.address();
  host.config.engine.queue.first_retry = host.config.engine.queue.longest_retry = std::chrono::hours(1);
  MailClient client = Greeted(host.StartRelay());
  for (size_t sent = 1; sent <= 3; ++sent) {
    EXPECT_TRUE(SendMessage(client, "a@sender.example", {"x@other.example"}).starts_with("250 "));
    EXPECT_TRUE(Eventually([&] { return other.messages().size() == sent && host.Queued("relay") == 0; }));
  }
  const std::vector<std::string> commands = other.commands();
  return static_cast<size_t>(std::count_if(commands.begin(), commands.end(),
                                           [](const std::string& one) { return one.starts_with("EHLO "); }));
}

TEST(Mail, MessagesToOneHopShareAConnection) {
  OtherServer other;
  EXPECT_EQ(SessionsOfThreeMessages(other), 1u);
}

TEST(Mail, AConnectionThatTheHopHasClosedCostsNoAttempt) {
  OtherServer other("250 2.0.0 ok", "8BITMIME", /*closes=*/true);
  EXPECT_EQ(SessionsOfThreeMessages(other), 3u);
}

TEST(Mail, SmuggledMessagesReachNobody) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  host.AddPool({host.StartStore()});
  const uint16_t port = host.StartRelay();
  for (const std::string& vector :
       {std::string("\n.\n"), std::string("\n.\r"), std::string("\r.\n"), std::string("\r.\r"),
        std::string("\n.\r\n"), std::string("\r.\r\n"), std::string("\r\n.\n"), std::string("\r\n.\r"),
        std::string("\r\n\0.\r\n", 6), std::string("\r\n.\0\r\n", 6), std::string("\r\n.\r\r\n"),
        std::string("\r\r\n.\r\r\n")}) {
    MailClient client = Greeted(port);
    const std::string smuggled =
        "MAIL FROM:<evil@sender.example>\r\nRCPT TO:<user1@example.net>\r\nDATA\r\nx\r\n";
    const std::string reply = SendMessage(client, "a@sender.example", {"user1@example.net"},
                                          "Subject: x\r\n\r\nbody" + vector + smuggled);
    EXPECT_TRUE(reply.starts_with("554 5.6.0 ")) << reply;
    EXPECT_TRUE(client.Ask("RSET").starts_with("250 "));
  }
  MailClient client = Greeted(port);
  EXPECT_TRUE(SendMessage(client, "a@sender.example", {"user1@example.net"}).starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return host.Mail("box-1").size() == 1; }));
}

TEST(Mail, LimitsAreSaidAndHeld) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  MailClient client = Greeted(host.StartRelay());
  EXPECT_TRUE(client.Ask("MAIL FROM:<a@b.example> SIZE=1048577").starts_with("552 5.3.4 "));
  std::string large = "Subject: x\r\n\r\n";
  while (large.size() <= 1 << 20) large += "0123456789abcdef0123456789abcdef\r\n";
  EXPECT_TRUE(SendMessage(client, "a@b.example", {"user1@example.net"}, large).starts_with("552 5.3.4 "));
  std::string loop;
  for (int i = 0; i < 50; ++i) loop += "Received: from x\r\n";
  const std::string circle = SendMessage(client, "a@b.example", {"user1@example.net"}, loop + "\r\nbody\r\n");
  EXPECT_TRUE(circle.starts_with("554 5.4.6 ")) << circle;
  EXPECT_EQ(host.Queued("relay"), 0u);
  EXPECT_TRUE(SendMessage(client, "a@b.example", {"user1@example.net"}).starts_with("250 "));
}

TEST(Mail, SpeakingBeforeTheGreetingIsRefused) {
  MailHost host;
  const uint16_t port = host.StartRelay();
  // Whether the words come before the greeting is for the kernel to say: one of many does.
  EXPECT_TRUE(Eventually([&] {
    MailClient client(port);
    client.Send("EHLO client.example\r\n");
    return client.Reply().starts_with("554 5.5.0 ");
  }));
}

TEST(Mail, IdleSessionsAreToldWhenTheProgramStops) {
  MailHost host;
  MailClient client = Greeted(host.StartRelay());
  host.Stop();
  EXPECT_TRUE(client.Reply().starts_with("421 4.3.2 "));
  EXPECT_EQ(client.Line(), "");
}

TEST(Mail, DroppedInTheMiddleLeavesNothing) {
  MailHost host;
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  const uint16_t port = host.StartRelay();
  {
    MailClient client = Greeted(port);
    EXPECT_TRUE(client.AskAll({"MAIL FROM:<a@b.example>", "RCPT TO:<user1@example.net>", "DATA"})
                    .starts_with("354 "));
    client.Send("Subject: half\r\n\r\nof it");
  }
  EXPECT_TRUE(Eventually([&] { return host.Queued("relay", "incoming") == 0; }));
  EXPECT_EQ(host.Queued("relay"), 0u);
}

// The child: a relay with no pool to deliver to, until it is killed.
[[noreturn]] void ServeUntilKilled(const std::string& directory, int out) {
  MailHost host(directory);
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  const uint16_t port = host.StartRelay();
  if (write(out, &port, sizeof port) != sizeof port) _exit(1);
  for (;;) pause();
}

// Sends until the server is gone; notes the id and the text of each message that was accepted.
void SendUntilGone(uint16_t port, int client_number, std::mutex& mutex,
                   std::map<std::string, std::string>& accepted, std::atomic<int>& count) {
  MailClient client(port);
  client.Reply();
  client.Ask("EHLO client.example");
  for (int n = 0;; ++n) {
    const std::string text =
        fmt::format("Subject: {}-{}\r\n\r\n{}\r\n", client_number, n, std::string(5000, 'x'));
    if (!client.AskAll({"MAIL FROM:<a@b.example>", "RCPT TO:<user1@example.net>", "DATA"})
             .starts_with("354")) {
      return;
    }
    client.Send(text + ".\r\n");
    const std::string reply = client.Reply();
    if (!reply.starts_with("250 ")) return;
    const std::lock_guard lock(mutex);
    accepted[reply.substr(reply.rfind(' ') + 1)] = text;
    ++count;
  }
}

TEST(Mail, AcceptedMailSurvivesKill) {
  state::TestDirectory directory;
  std::mutex mutex;
  std::map<std::string, std::string> accepted;
  for (int round = 0; round < 6; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) ServeUntilKilled(directory.path(), ends[1]);
    close(ends[1]);
    uint16_t port = 0;
    ASSERT_EQ(read(ends[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    close(ends[0]);
    std::atomic<int> count = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < 6; ++i) {
      clients.emplace_back(SendUntilGone, port, 6 * round + i, std::ref(mutex), std::ref(accepted),
                           std::ref(count));
    }
    // The kill comes in the midst of others, after a number that differs each time.
    EXPECT_TRUE(Eventually([&] { return count > 10 + 9 * round; }));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (std::thread& client : clients) client.join();
  }
  const auto spool = queue::OpenSpool(directory.path() + "/queue/relay");
  ASSERT_TRUE(spool);
  const auto messages = ScanAll(*spool);
  ASSERT_TRUE(messages.ok()) << messages.status();
  std::map<std::string, const queue::StoredMessage*> found;
  for (const queue::StoredMessage& message : *messages) found[message.envelope.id] = &message;
  for (const auto& [id, text] : accepted) {
    ASSERT_TRUE(found.contains(id)) << id;
    const std::string content = queue::ContentOf(*spool, *found[id]);
    EXPECT_TRUE(content.starts_with("Received: ") && content.ends_with("\r\n" + text)) << id;
  }
}

}  // namespace
}  // namespace prov::smtp
