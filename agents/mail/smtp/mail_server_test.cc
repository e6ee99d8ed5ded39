// Relay and store over real sockets.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agents/mail/smtp/mail_test_host.h"
#include "agents/state/test_records.h"

namespace prov::smtp {
namespace {

class Mail : public testing::Test {
 protected:
  // The store's forwards go to the relay, whose port is known first.
  void StartBoth() {
    relay_.Fill({});
    relay_.Start();
    store_.config.engine.lmtp.forward_relay = "127.0.0.1:" + std::to_string(relay_.port());
    store_.Fill({DomainRecord("example.net"), DomainRecord("alias.example", "example.net"),
                 MailboxOf("box-alice", "alice@example.net"), MailboxOf("box-bob", "bob@example.net"),
                 MailboxOf("box-fwd", "fwd@example.net", {"alice@example.net"}),
                 MailboxOf("box-keep", "keep@example.net", {"alice@example.net", "bob@example.net"}, true),
                 MailboxOf("box-ring1", "ring1@example.net", {"ring2@example.net"}),
                 MailboxOf("box-ring2", "ring2@example.net", {"ring1@example.net"}),
                 MailboxOf("box-later", "later@example.net", {}, false, v1::TEMPFAIL),
                 MailboxOf("box-never", "never@example.net", {}, false, v1::REJECT_PERMANENTLY)});
    store_.Start();
    FillRelay();
  }

  void FillRelay() {
    relay_.Fill({DomainRecord("example.net"), DomainRecord("alias.example", "example.net"),
                 PoolRecord("127.0.0.1:" + std::to_string(store_.port())), RouteTo("alice@example.net"),
                 RouteTo("bob@example.net"), RouteTo("fwd@example.net"), RouteTo("keep@example.net"),
                 RouteTo("ring1@example.net"), RouteTo("ring2@example.net"), RouteTo("ghost@example.net"),
                 RouteTo("later@example.net", v1::TEMPFAIL),
                 RouteTo("never@example.net", v1::REJECT_PERMANENTLY)});
  }

  std::string SendMail(uint16_t port, const std::string& sender, const std::vector<std::string>& recipients,
                       const std::string& content) {
    WireClient client(port);
    client.Reply();
    client.Ask("EHLO client.example");
    client.Ask("MAIL FROM:<" + sender + ">");
    for (const std::string& recipient : recipients) client.Ask("RCPT TO:<" + recipient + ">");
    const std::string data = client.Ask("DATA");
    if (!data.starts_with("354")) return data;
    return client.Ask(content + ".");
  }

  std::vector<std::string> Box(const std::string& id) {
    return MessagesIn(store_.config.store.maildir_root, id);
  }
  size_t Queued(const MailTestHost& host, const std::string& queue) {
    return CountFiles(host.config.engine.queue.directory + queue + "/active");
  }

  state::TestDirectory directory_;
  MailTestHost relay_{directory_.path() + "/relay", v1::RELAY};
  MailTestHost store_{directory_.path() + "/store", v1::STORE};
};

TEST_F(Mail, GoesFromTheRelayIntoTheMaildirOctetForOctet) {
  StartBoth();
  const std::string body = "Subject: x\r\n\r\n..\r\n...a\r\n" + std::string(5000, 'x') + "\r\n\xff\xfe\r\n";
  EXPECT_TRUE(SendMail(relay_.port(), "s@x.example", {"Alice@Alias.Example"}, body).starts_with("250 2.0.0"));
  ASSERT_TRUE(Eventually([&] { return Box("box-alice").size() == 1; }));
  const std::string mail = Box("box-alice").front();
  EXPECT_TRUE(
      mail.starts_with("Return-Path: <s@x.example>\nDelivered-To: alice@example.net\nReceived: from "));
  const std::string stored = "Subject: x\n\n.\n..a\n" + std::string(5000, 'x') + "\n\xff\xfe\n";
  EXPECT_EQ(mail.substr(mail.size() - stored.size()), stored);
  EXPECT_EQ(mail.find('\r'), mail.npos);
  EXPECT_TRUE(Eventually([&] { return Queued(relay_, "/relay") == 0; }));
}

TEST_F(Mail, AFirstLineThatBeginsWithABlankDoesNotJoinOurHeader) {
  StartBoth();
  EXPECT_TRUE(SendMail(relay_.port(), "", {"alice@example.net"}, " no header\r\n").starts_with("250"));
  ASSERT_TRUE(Eventually([&] { return Box("box-alice").size() == 1; }));
  EXPECT_NE(Box("box-alice").front().find("\n\n no header\n"), std::string::npos);
}

TEST_F(Mail, TheRelayIsNotOpen) {
  StartBoth();
  WireClient client(relay_.port());
  client.Reply();
  client.Ask("EHLO client.example");
  client.Ask("MAIL FROM:<alice@example.net>");
  for (const char* recipient :
       {"x@elsewhere.example", "x%elsewhere.example@example.net", "elsewhere.example!x@example.net",
        "\"x@elsewhere.example\"@example.net", "\"alice\"@example.net", "@example.net:x@elsewhere.example",
        "@elsewhere.example:alice@example.net", "x@[127.0.0.1]", "x@[192.0.2.1]", "alice@[IPv6:::1]",
        "x@elsewhere.example@example.net", "x%elsewhere.example", "x@sub.example.net"}) {
    const std::string reply = client.Ask("RCPT TO:<" + std::string(recipient) + ">");
    EXPECT_TRUE(reply.starts_with("550 5.7.1") || reply.starts_with("501 5.1.3"))
        << recipient << ": " << reply;
  }
  EXPECT_TRUE(client.Ask("RCPT TO:<alice@example.net>").starts_with("250"));
}

TEST_F(Mail, TrustedNetworksMayRelayButNotRouteByThemselves) {
  relay_.config.engine.smtp.trusted_networks = {"127.0.0.0/8"};
  StartBoth();
  WireClient client(relay_.port());
  client.Reply();
  client.Ask("EHLO client.example");
  client.Ask("MAIL FROM:<alice@example.net>");
  EXPECT_TRUE(client.Ask("RCPT TO:<x@elsewhere.example>").starts_with("250"));
  EXPECT_TRUE(client.Ask("RCPT TO:<x%y.example@elsewhere.example>").starts_with("550 5.7.1"));
}

TEST_F(Mail, RecipientsAreAnsweredByLifecycleAndByFreshness) {
  StartBoth();
  const auto ask = [&](const std::string& recipient) {
    WireClient client(relay_.port());
    client.Reply();
    client.Ask("EHLO client.example");
    client.Ask("MAIL FROM:<>");
    return client.Ask("RCPT TO:<" + recipient + ">").substr(0, 9);
  };
  EXPECT_EQ(ask("alice@example.net"), "250 2.1.5");
  EXPECT_EQ(ask("nobody@example.net"), "550 5.1.1");
  EXPECT_EQ(ask("never@example.net"), "550 5.2.1");
  EXPECT_EQ(ask("later@example.net"), "451 4.2.1");
  relay_.Confirm(2);  // a write that this host has not seen
  EXPECT_EQ(ask("alice@example.net"), "250 2.1.5");
  EXPECT_EQ(ask("nobody@example.net"), "451 4.3.0");
  EXPECT_EQ(ask("x@elsewhere.example"), "451 4.3.0");
}

TEST_F(Mail, SmuggledMailIsRefusedAtItsTrueEnd) {
  StartBoth();
  const std::string content = "a\r\n\n.\r\nMAIL FROM:<evil@x.example>\r\n";
  EXPECT_TRUE(SendMail(relay_.port(), "", {"alice@example.net"}, content).starts_with("554 5.6.0"));
  EXPECT_EQ(Queued(relay_, "/relay"), 0u);
}

TEST_F(Mail, LmtpAnswersForEachRecipient) {
  StartBoth();
  WireClient client(store_.port());
  client.Reply();
  client.Ask("LHLO relay.example");
  client.Ask("MAIL FROM:<s@x.example>");
  EXPECT_TRUE(client.Ask("RCPT TO:<alice@example.net>").starts_with("250"));
  EXPECT_TRUE(client.Ask("RCPT TO:<nobody@example.net>").starts_with("550 5.1.1"));
  EXPECT_TRUE(client.Ask("RCPT TO:<never@example.net>").starts_with("550 5.2.1"));
  EXPECT_TRUE(client.Ask("RCPT TO:<later@example.net>").starts_with("451 4.2.1"));
  EXPECT_TRUE(client.Ask("RCPT TO:<ring1@example.net>").starts_with("250"));
  EXPECT_TRUE(client.Ask("RCPT TO:<bob@alias.example>").starts_with("250"));
  client.Ask("DATA");
  EXPECT_TRUE(
      client.Ask("Delivered-To: ring1@example.net\r\nSubject: x\r\n\r\nhi\r\n.").starts_with("250 2.0.0"));
  EXPECT_TRUE(client.Reply().starts_with("554 5.4.6"));
  EXPECT_TRUE(client.Reply().starts_with("250 2.0.0"));
  EXPECT_EQ(Box("box-alice").size(), 1u);
  EXPECT_EQ(Box("box-bob").size(), 1u);
}

TEST_F(Mail, ForwardsGoOnAndCopiesAreKeptAsAsked) {
  StartBoth();
  EXPECT_TRUE(SendMail(relay_.port(), "bob@example.net", {"fwd@example.net", "keep@example.net"},
                       "S: x\r\n\r\nhi\r\n")
                  .starts_with("250"));
  EXPECT_TRUE(Eventually([&] {
    return Box("box-alice").size() == 2 && Box("box-bob").size() == 1 && Box("box-keep").size() == 1;
  }));
  EXPECT_EQ(Box("box-fwd").size(), 0u);
  EXPECT_TRUE(Box("box-bob").front().starts_with("Return-Path: <bob@example.net>"));
}

TEST_F(Mail, ACircleOfForwardsEndsInOneNotification) {
  StartBoth();
  EXPECT_TRUE(SendMail(relay_.port(), "bob@example.net", {"ring1@example.net"}, "S: x\r\n\r\nhi\r\n")
                  .starts_with("250"));
  ASSERT_TRUE(Eventually([&] { return Box("box-bob").size() == 1; }));
  const std::string notification = Box("box-bob").front();
  EXPECT_TRUE(notification.starts_with("Return-Path: <>\n"));
  EXPECT_NE(notification.find("Status: 5.4.6"), std::string::npos);
  EXPECT_TRUE(Eventually([&] { return Queued(relay_, "/relay") == 0 && Queued(store_, "/forward") == 0; }));
  EXPECT_EQ(Box("box-bob").size(), 1u);
}

TEST_F(Mail, MailWaitsForAStoreThatIsAwayAndFollowsItToANewPlace) {
  StartBoth();
  store_.Stop();
  EXPECT_TRUE(SendMail(relay_.port(), "", {"alice@example.net"}, "S: x\r\n\r\nhi\r\n").starts_with("250"));
  EXPECT_EQ(Queued(relay_, "/relay"), 1u);
  store_.Start();  // on another port
  FillRelay();
  EXPECT_TRUE(Eventually([&] { return Box("box-alice").size() == 1; }));
}

TEST_F(Mail, AStoreThatIsBehindMakesNoBounce) {
  StartBoth();
  // The relay knows ghost; the store has not heard of it, and believes itself current.
  EXPECT_TRUE(SendMail(relay_.port(), "bob@example.net", {"ghost@example.net"}, "S: x\r\n\r\nhi\r\n")
                  .starts_with("250"));
  v1::Record ghost = MailboxOf("box-ghost", "ghost@example.net");
  ghost.set_revision(2);
  ASSERT_TRUE(store_.writer().ApplyBatch(v1::STORE, state::BatchOf(2, {ghost})).ok());
  EXPECT_TRUE(Eventually([&] { return Box("box-ghost").size() == 1; }));
  EXPECT_EQ(Box("box-bob").size(), 0u);
}

TEST_F(Mail, WhoeverIsGoneBeforeDeliveryIsTold) {
  StartBoth();
  store_.Stop();
  EXPECT_TRUE(
      SendMail(relay_.port(), "bob@example.net", {"alice@example.net"}, "S: secret\r\n\r\nbody text\r\n")
          .starts_with("250"));
  EXPECT_TRUE(SendMail(relay_.port(), "", {"alice@example.net"}, "S: y\r\n\r\nhi\r\n").starts_with("250"));
  store_.Start();
  relay_.Fill({DomainRecord("example.net"), PoolRecord("127.0.0.1:" + std::to_string(store_.port())),
               RouteTo("bob@example.net")},
              2);
  ASSERT_TRUE(Eventually([&] { return Box("box-bob").size() == 1 && Queued(relay_, "/relay") == 0; }));
  const std::string notification = Box("box-bob").front();
  EXPECT_NE(notification.find("Final-Recipient: rfc822; alice@example.net"), std::string::npos);
  EXPECT_NE(notification.find("S: secret"), std::string::npos);
  EXPECT_EQ(notification.find("body text"), std::string::npos);
  // Nobody can be told of the other one; it is kept for an operator.
  EXPECT_EQ(CountFiles(relay_.config.engine.queue.directory + "/relay/dead"), 1u);
}

TEST_F(Mail, EarlyTalkersAndForeignersAreTurnedAway) {
  StartBoth();
  WireClient web(relay_.port());
  web.Reply();
  EXPECT_TRUE(web.Ask("GET / HTTP/1.1").starts_with("554 5.7.0"));
  EXPECT_EQ(web.Reply(), "");
}

TEST_F(Mail, StoppingEndsIdleSessionsAndLetsTransactionsFinish) {
  StartBoth();
  WireClient idle(relay_.port());
  idle.Reply();
  WireClient busy(relay_.port());
  busy.Reply();
  busy.Ask("EHLO client.example");
  busy.Ask("MAIL FROM:<>");
  busy.Ask("RCPT TO:<alice@example.net>");
  busy.Ask("DATA");
  std::thread stopper([&] { relay_.Stop(); });
  EXPECT_TRUE(idle.Reply().starts_with("421 4.3.2"));
  EXPECT_TRUE(busy.Ask("S: x\r\n\r\nhi\r\n.").starts_with("250"));
  EXPECT_TRUE(busy.Reply().starts_with("421 4.3.2"));
  stopper.join();
  EXPECT_EQ(Queued(relay_, "/relay") + Box("box-alice").size(), 1u);
}

}  // namespace
}  // namespace prov::smtp
