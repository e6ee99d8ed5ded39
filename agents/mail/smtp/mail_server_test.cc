// What relay and store do when the world changes between acceptance and delivery, and when they stop.
#include "agents/mail/smtp/mail_server.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "agents/mail/smtp/testing/mail_client.h"
#include "agents/mail/smtp/testing/mail_host.h"

namespace prov::smtp {
namespace {

class MailServerTest : public testing::Test {
 protected:
  void SetUp() override { host_.AddDomain("example.net"); }

  void Open(MailClient& client) {
    EXPECT_TRUE(client.Reply().starts_with("220 "));
    EXPECT_TRUE(client.Ask("EHLO client.example").starts_with("250 "));
  }
  std::string Send(uint16_t port, const std::string& sender, const std::string& recipient,
                   const std::string& content = "Subject: secret\r\n\r\nbody text\r\n") {
    MailClient client(port);
    Open(client);
    client.Ask("MAIL FROM:<" + sender + ">");
    const std::string reply = client.Ask("RCPT TO:<" + recipient + ">");
    if (!reply.starts_with("250 ")) return reply;
    client.Ask("DATA");
    client.Send(content + ".\r\n");
    return client.Reply();
  }
  void SetRoute(int id, v1::Disposition receive) {
    v1::Record route = state::RouteRecord(id, 1);
    route.mutable_mail_route()->set_receive(receive);
    host_.Set(v1::RELAY, route);
  }

  MailHost host_;
};

TEST_F(MailServerTest, AFirstLineThatBeginsWithABlankDoesNotJoinOurHeader) {
  host_.AddSubscriber(1);
  host_.AddPool({host_.StartStore()});
  EXPECT_TRUE(Send(host_.StartRelay(), "", "user1@example.net", " no header\r\n").starts_with("250 "));
  ASSERT_TRUE(Eventually([&] { return host_.Mail("box-1").size() == 1; }));
  EXPECT_TRUE(host_.Mail("box-1").front().ends_with("\n\n no header\n"));
}

TEST_F(MailServerTest, ChecksThatAreSwitchedOnHoldForStrangersAlone) {
  host_.AddSubscriber(1);
  host_.config.engine.smtp.check_hello = true;
  host_.config.engine.smtp.check_sender_domain = true;
  const uint16_t strict = host_.StartRelay();
  MailClient client(strict);
  client.Reply();
  EXPECT_TRUE(client.Ask("EHLO localhost").starts_with("504 5.5.2"));
  EXPECT_TRUE(client.Ask("EHLO client.example").starts_with("250 "));
  // No resolver is there to be asked.
  EXPECT_TRUE(client.Ask("MAIL FROM:<a@sender.example>").starts_with("451 4.4.3"));
}

TEST_F(MailServerTest, WhoSendsTooMuchIsToComeAgain) {
  host_.AddSubscriber(1);
  host_.AddPool({host_.StartStore()});
  host_.config.engine.smtp.messages_of_network = 2;
  const uint16_t relay = host_.StartRelay();
  EXPECT_TRUE(Send(relay, "", "user1@example.net").starts_with("250 "));
  EXPECT_TRUE(Send(relay, "", "user1@example.net").starts_with("250 "));
  MailClient client(relay);
  Open(client);
  EXPECT_TRUE(client.Ask("MAIL FROM:<>").starts_with("450 4.7.1"));
}

TEST_F(MailServerTest, WhoComesByXclientHasTheRightsOfWhoHeIs) {
  host_.config.engine.smtp.trusted_networks = {"127.0.0.1", "192.0.2.1"};
  host_.config.engine.smtp.xclient_networks = {"127.0.0.1"};
  MailClient client(host_.StartRelay());
  Open(client);
  const auto ask_as = [&client](const std::string& who) {
    EXPECT_TRUE(client.Ask("XCLIENT " + who).starts_with("220 ")) << who;
    return client.AskAll({"EHLO client.example", "MAIL FROM:<>", "RCPT TO:<friend@elsewhere.example>"});
  };
  EXPECT_TRUE(client.AskAll({"MAIL FROM:<>", "RCPT TO:<friend@elsewhere.example>"}).starts_with("250 "));
  client.Ask("RSET");
  EXPECT_TRUE(ask_as("ADDR=192.0.2.1").starts_with("250 "));
  client.Ask("RSET");
  for (const char* stranger : {"ADDR=192.0.2.2", "ADDR=[UNAVAILABLE]"}) {
    EXPECT_TRUE(ask_as(stranger).starts_with("550 5.7.1")) << stranger;
    client.Ask("RSET");
  }
}

TEST_F(MailServerTest, DomainAliasesAndCatchAllReachTheMailboxBehindThem) {
  host_.AddSubscriber(1);
  host_.AddDomain("alias.example", "example.net");
  host_.AddDomain("catch.example", "", "user1@example.net");
  const uint16_t store = host_.StartStore();
  host_.AddPool({store});
  const uint16_t relay = host_.StartRelay();
  EXPECT_TRUE(Send(relay, "", "User1@Alias.Example").starts_with("250 "));
  EXPECT_TRUE(Send(relay, "", "anybody@catch.example").starts_with("250 "));
  EXPECT_TRUE(Send(relay, "", "user9@alias.example").starts_with("550 5.1.1"));
  EXPECT_TRUE(Eventually([&] { return host_.Mail("box-1").size() == 2; }));
  // A relay that is none of ours names them as they came.
  MailClient client(store);
  client.Reply();
  client.Ask("LHLO relay.example");
  client.Ask("MAIL FROM:<>");
  EXPECT_TRUE(client.Ask("RCPT TO:<user1@alias.example>").starts_with("250 "));
  EXPECT_TRUE(client.Ask("RCPT TO:<anybody@catch.example>").starts_with("250 "));
  // Both are one mailbox: one copy, two answers.
  client.Ask("DATA");
  EXPECT_TRUE(client.Ask("Subject: x\r\n\r\nhi\r\n.").starts_with("250 "));
  EXPECT_TRUE(client.Reply().starts_with("250 "));
  EXPECT_EQ(host_.Mail("box-1").size(), 3u);
}

TEST_F(MailServerTest, AStoreThatIsBehindMakesNoBounce) {
  host_.AddSubscriber(1);
  host_.AddPool({host_.StartStore()});
  SetRoute(2, v1::ALLOW);  // the store has not heard of it, and believes itself current
  EXPECT_TRUE(Send(host_.StartRelay(), "user1@example.net", "user2@example.net").starts_with("250 "));
  host_.AddMailbox(2);
  EXPECT_TRUE(Eventually([&] { return host_.Mail("box-2").size() == 1; }));
  EXPECT_TRUE(host_.Mail("box-1").empty());
}

TEST_F(MailServerTest, WhoeverIsGoneBeforeDeliveryIsToldOfAndNeverOfANotification) {
  host_.AddSubscriber(1);
  host_.AddSubscriber(2);
  const uint16_t relay = host_.StartRelay();
  EXPECT_TRUE(Send(relay, "user1@example.net", "user2@example.net").starts_with("250 "));
  EXPECT_TRUE(Send(relay, "", "user2@example.net").starts_with("250 "));
  SetRoute(2, v1::REJECT_PERMANENTLY);
  host_.AddPool({host_.StartStore()});
  ASSERT_TRUE(Eventually([&] { return host_.Mail("box-1").size() == 1 && host_.Queued("relay") == 0; }));
  const std::string told = host_.Mail("box-1").front();
  EXPECT_NE(told.find("Final-Recipient: rfc822; user2@example.net"), told.npos);
  EXPECT_NE(told.find("Subject: secret"), told.npos);
  EXPECT_EQ(told.find("body text"), told.npos);
  EXPECT_EQ(host_.Queued("relay", "dead"), 1u) << "nobody can be told of it; an operator has it";
}

// The relay lost our answer and comes again: what was forwarded then is not forwarded again.
TEST_F(MailServerTest, ADeliveryThatIsRepeatedIsForwardedOnce) {
  host_.AddMailbox(1, v1::ALLOW, {"far@elsewhere.example"}, true);
  MailClient client(host_.StartStore());
  client.Reply();
  client.Ask("LHLO relay.example");
  for (int i = 0; i < 2; ++i) {
    client.AskAll({"MAIL FROM:<a@b.example>", "RCPT TO:<user1@example.net>", "DATA"});
    EXPECT_TRUE(client
                    .Ask("Received: from c.example ([192.0.2.1])\r\n\tby relay.example with ESMTP id "
                         "01a20a9b5c10a87019aeda;\r\n\tMon, 23 Nov 2026 22:00:00 +0000\r\n\r\nhi\r\n.")
                    .starts_with("250 "));
  }
  EXPECT_EQ(host_.Mail("box-1").size(), 1u);
  EXPECT_EQ(host_.Queued("forward"), 1u);
}

// Purged or moved to another pool between RCPT and the end: a Maildir made anew would belong to nobody.
TEST_F(MailServerTest, AMailboxThatLeavesWhileItsMailComesIsNotMadeAgain) {
  host_.AddMailbox(1);
  host_.AddMailbox(2);
  MailClient client(host_.StartStore());
  client.Reply();
  client.AskAll({"LHLO relay.example", "MAIL FROM:<a@b.example>", "RCPT TO:<user1@example.net>"});
  EXPECT_TRUE(client.Ask("RCPT TO:<user2@example.net>").starts_with("250 "));
  EXPECT_TRUE(client.Ask("DATA").starts_with("354 "));
  host_.Remove(v1::STORE, "subscribers/1");
  EXPECT_TRUE(client.Ask("Subject: x\r\n\r\nhi\r\n.").starts_with("550 5.1.1"));
  EXPECT_TRUE(client.Reply().starts_with("250 "));
  EXPECT_TRUE(host_.Mail("box-1").empty());
  EXPECT_EQ(host_.Mail("box-2").size(), 1u);
}

TEST_F(MailServerTest, StoppingLetsTransactionsFinish) {
  host_.AddSubscriber(1);
  const uint16_t port = host_.StartRelay();
  MailClient idle(port);
  Open(idle);
  MailClient busy(port);
  Open(busy);
  busy.Ask("MAIL FROM:<>");
  busy.Ask("RCPT TO:<user1@example.net>");
  EXPECT_TRUE(busy.Ask("DATA").starts_with("354 "));
  std::thread stopper([&] { host_.Stop(); });
  EXPECT_TRUE(idle.Reply().starts_with("421 4.3.2"));
  EXPECT_TRUE(busy.Ask("Subject: x\r\n\r\nhi\r\n.").starts_with("250 "));
  EXPECT_TRUE(busy.Reply().starts_with("421 4.3.2"));
  stopper.join();
  EXPECT_EQ(host_.Queued("relay"), 1u);
}

TEST_F(MailServerTest, BrowsersAreShownTheDoor) {
  MailClient client(host_.StartRelay());
  client.Reply();
  EXPECT_TRUE(client.Ask("GET / HTTP/1.1").starts_with("554 5.7.0"));
  EXPECT_EQ(client.Line(), "");
}

}  // namespace
}  // namespace prov::smtp
