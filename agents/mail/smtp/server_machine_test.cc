#include "agents/mail/smtp/server_machine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace prov::smtp {
namespace {

// Says yes to everything, and remembers it.
class Client {
 public:
  explicit Client(Protocol protocol = Protocol::kSmtp, uint64_t limit = 1 << 20,
                  net::TlsUse tls = net::TlsUse::kNone)
      : Client(ServerOptions{protocol, "mx.example.net", limit, tls}) {}
  explicit Client(ServerOptions options) : machine_(std::move(options)) {
    machine_.Greet();
    greeting = machine_.TakeOutput();
  }

  // What the server says to `octets`.
  std::string Send(const std::string& octets, size_t step = 1 << 20) {
    std::string said;
    for (size_t at = 0; at < octets.size(); at += step) {
      machine_.Input(std::string_view(octets).substr(at, step));
      said += Turn();
    }
    return said;
  }
  std::string Talk(const std::vector<std::string>& commands) {
    std::string said;
    for (const std::string& command : commands) said = Send(command + "\r\n");
    return said;
  }

  std::string greeting;
  std::string content;
  std::vector<std::string> messages;
  std::vector<std::string> recipients;
  std::vector<std::string> logins;
  MailCommand mail;
  RecipientCommand recipient;
  XclientCommand client;
  int resets = 0;
  int headers = 0;
  int handshakes = 0;
  bool closed = false;
  bool slow() const { return machine_.slow(); }

 private:
  std::string Turn() {
    for (;;) {
      const Event event = machine_.Next();
      switch (event.kind) {
        case Event::Kind::kNeedInput:
          return machine_.TakeOutput();
        case Event::Kind::kClose:
          closed = true;
          return machine_.TakeOutput();
        case Event::Kind::kRecipient: {
          const bool known = event.recipient.path.local_part != "unknown";
          if (known) recipients.push_back(event.recipient.path.text);
          recipient = event.recipient;
          machine_.Answer(known ? Reply{250, "2.1.5", "ok"} : Reply{550, "5.1.1", "unknown"});
          break;
        }
        case Event::Kind::kLogin:
          logins.push_back(event.text + " " + std::string(event.password.Reveal()));
          machine_.Answer(event.password.Reveal() == "right" ? Reply{235, "2.7.0", "welcome"}
                                                             : Reply{535, "5.7.8", "no"});
          break;
        case Event::Kind::kXclient:
          client = event.client;
          machine_.Answer({220, "", "mx.example.net ESMTP"});
          break;
        case Event::Kind::kMail:
          mail = event.mail;
          [[fallthrough]];
        case Event::Kind::kHello:
          machine_.Answer({250, "2.1.0", "ok"});
          break;
        case Event::Kind::kData:
          machine_.Answer(room ? Reply{354, "", "go on"} : Reply{452, "4.3.1", "no room"});
          break;
        case Event::Kind::kContent:
          content += event.text;
          break;
        case Event::Kind::kHeaderEnd:
          ++headers;
          break;
        case Event::Kind::kMessageEnd:
          messages.push_back(std::exchange(content, ""));
          machine_.AnswerMessage(
              std::vector<Reply>(lmtp_replies ? lmtp_replies : 1, {250, "2.0.0", "queued"}));
          break;
        case Event::Kind::kReset:
          content.clear();
          ++resets;
          break;
        case Event::Kind::kStartTls:
          ++handshakes;
          machine_.Secured();
          break;
      }
    }
  }

 public:
  size_t lmtp_replies = 0;
  bool room = true;

 private:
  ServerMachine machine_;
};

const std::string kStart = "EHLO c.example\r\n";
const std::string kEnvelope = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n";

void StartMessage(Client& client) {
  client.Send(kStart);
  client.Send(kEnvelope);
  ASSERT_TRUE(client.Send("DATA\r\n").starts_with("354 "));
}

TEST(ServerMachine, TakesAMessageByteByByteAndInOnePiece) {
  for (const size_t step : {size_t{1}, size_t{5}, size_t{1 << 20}}) {
    Client client;
    EXPECT_TRUE(client.greeting.starts_with("220 mx.example.net"));
    StartMessage(client);
    EXPECT_EQ(client.Send("Subject: x\r\n\r\n..dot\r\n.\r\n", step), "250 2.0.0 queued\r\n");
    ASSERT_EQ(client.messages.size(), 1u);
    EXPECT_EQ(client.messages[0], "Subject: x\r\n\r\n.dot\r\n");
    EXPECT_EQ(client.headers, 1);
    EXPECT_TRUE(client.Send("QUIT\r\n").starts_with("221 2.0.0"));
    EXPECT_TRUE(client.closed);
  }
}

TEST(ServerMachine, AnnouncesOnlyWhatItDoes) {
  Client client;
  EXPECT_EQ(client.Send(kStart),
            "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n"
            "250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 DSN\r\n");
  EXPECT_EQ(client.Send("HELO c.example\r\n"), "250 mx.example.net\r\n");
}

TEST(ServerMachine, WhatTheSenderAsksForIsHandedOn) {
  Client client;
  client.Talk({"EHLO x", "MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B1 SMTPUTF8",
               "RCPT TO:<Bob@M\xc3\xbcller.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@x.example"});
  EXPECT_EQ(client.mail.returned, queue::Return::kHeaders);
  EXPECT_EQ(client.mail.envelope_id, "QQ+2B1");
  EXPECT_TRUE(client.mail.utf8);
  EXPECT_EQ(client.recipient.notify, (queue::Notify{.said = true, .success = true, .delay = true}));
  EXPECT_EQ(client.recipient.original, "rfc822;bob@x.example");
  EXPECT_EQ(client.recipient.path.domain, "xn--mller-kva.example");
  EXPECT_EQ(client.recipient.path.text, "Bob@xn--mller-kva.example");
}

ServerOptions Submission(net::TlsUse tls = net::TlsUse::kOnDemand) {
  return {.hostname = "mx.example.net", .max_message_octets = 1 << 20, .tls = tls, .submission = true};
}

TEST(ServerMachine, SubmissionLogsInInsideTlsAloneAndOnce) {
  Client client(Submission());
  EXPECT_EQ(client.Talk({"EHLO x"}).find("AUTH"), std::string::npos);
  EXPECT_TRUE(client.Talk({"AUTH PLAIN AGEAcmlnaHQ="}).starts_with("538 5.7.11"));
  EXPECT_TRUE(client.Talk({"MAIL FROM:<a@b.example>"}).starts_with("530 5.7.0"));
  EXPECT_TRUE(client.logins.empty());
  client.Talk({"STARTTLS"});
  EXPECT_NE(client.Talk({"EHLO x"}).find("250 AUTH PLAIN LOGIN\r\n"), std::string::npos);
  EXPECT_TRUE(client.Talk({"MAIL FROM:<a@b.example>"}).starts_with("530 5.7.0"));
  EXPECT_TRUE(client.Talk({"AUTH PLAIN AGEAd3Jvbmc="}).starts_with("535 5.7.8"));
  EXPECT_TRUE(client.Talk({"AUTH PLAIN AGEAcmlnaHQ="}).starts_with("235 2.7.0"));
  EXPECT_TRUE(client.Talk({"AUTH PLAIN AGEAcmlnaHQ="}).starts_with("503 5.5.1"));
  EXPECT_TRUE(client.Talk({"MAIL FROM:<a@b.example> AUTH=<>"}).starts_with("250"));
  EXPECT_EQ(client.logins, (std::vector<std::string>{"a wrong", "a right"}));
}

TEST(ServerMachine, AnExchangeEndsAndCommandsGoOn) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"AUTH LOGIN", "YQ==", "cmlnaHQ="}, "235 2.7.0"},
      {{"AUTH LOGIN YQ==", "cmlnaHQ="}, "235 2.7.0"},
      {{"AUTH PLAIN", "AGEAcmlnaHQ="}, "235 2.7.0"},
      {{"AUTH PLAIN", "*"}, "501 5.7.0"},
      {{"AUTH PLAIN", "QUIT"}, "501 5.5.2"},
      {{"AUTH PLAIN ="}, "501 5.5.2"},
      {{"AUTH PLAIN !!!!"}, "501 5.5.2"},
      {{"AUTH PLAIN", std::string(12 * 1024, 'A')}, "500 5.5.6"},
      {{"AUTH PLAIN " + std::string(12 * 1024, 'A')}, "500 5.5.2"},
      {{"AUTH CRAM-MD5"}, "504 5.5.4"},
      {{"AUTH PLAIN YgBhAHJpZ2h0"}, "535 5.7.8"},  // b on behalf of a
      {{"MAIL FROM:<a@b.example>"}, "530 5.7.0"},
  };
  for (const auto& [commands, reply] : cases) {
    Client client(Submission());
    client.Talk({"EHLO x", "STARTTLS", "EHLO x"});
    EXPECT_EQ(client.Talk(commands).substr(0, reply.size()), reply) << commands.front();
    EXPECT_TRUE(client.Talk({"NOOP"}).starts_with("250 2.0.0")) << commands.front();
  }
}

TEST(ServerMachine, AComputersNameKeepsNobodyFromSubmitting) {
  Client client(Submission());
  EXPECT_TRUE(client.Talk({"EHLO B\xfcro PC"}).starts_with("250-"));
  Client other;
  EXPECT_TRUE(other.Talk({"EHLO B\xfcro"}).starts_with("250-"));
  EXPECT_TRUE(other.Talk({"EHLO B\xfcro PC"}).starts_with("501 "));
}

TEST(ServerMachine, ALoginInTheClearIsForgottenWithTheRest) {
  Client client(Submission(net::TlsUse::kOnDemand));
  client.Talk({"EHLO x", "STARTTLS", "EHLO x", "AUTH PLAIN"});
  // What is left of an exchange is no line of the next one.
  EXPECT_TRUE(client.Talk({"*", "AUTH LOGIN", "*", "EHLO x"}).starts_with("250"));
}

TEST(ServerMachine, XclientBeginsTheSessionAnewAsAnotherClient) {
  Client client(ServerOptions{.hostname = "mx.example.net", .max_message_octets = 1 << 20, .xclient = true});
  EXPECT_NE(client.Talk({"EHLO x"}).find("XCLIENT ADDR PORT HELO"), std::string::npos);
  EXPECT_TRUE(
      client.Talk({"XCLIENT ADDR=IPV6:2001:db8::1 PORT=4711 NAME=[UNAVAILABLE] HELO=mail.example.org"})
          .starts_with("220 "));
  EXPECT_EQ(client.client.address, std::optional<std::string>("2001:db8::1"));
  EXPECT_EQ(client.client.port, 4711);
  EXPECT_EQ(client.client.hello, "mail.example.org");
  EXPECT_TRUE(client.Talk({"MAIL FROM:<>"}).starts_with("503 5.5.1"));
  client.Talk({"EHLO x", "XCLIENT HELO=x"});
  EXPECT_EQ(client.client.address, std::nullopt);
  client.Talk({"EHLO x", "XCLIENT ADDR=[UNAVAILABLE]"});
  EXPECT_EQ(client.client.address, std::optional<std::string>(""));
  client.Talk({"EHLO x"});
  for (const char* bad :
       {"ADDR=192.0.2.256", "ADDR=x", "ADDR", "PORT=65536", "PORT=-1", "HELO=a+0Ab", "ADDR=+0"}) {
    EXPECT_TRUE(client.Talk({std::string("XCLIENT ") + bad}).starts_with("501 5.5.4")) << bad;
  }
}

TEST(ServerMachine, PipelinedCommandsAreAnsweredInOrder) {
  Client client;
  client.Send(kStart);
  EXPECT_EQ(client.Send("MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<unknown@y.example>\r\nDATA\r\n"),
            "250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 unknown\r\n354 go on\r\n");
  EXPECT_EQ(client.Send("x\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n").substr(0, 32),
            "250 2.0.0 queued\r\n250 2.1.0 ok\r\n");
}

TEST(ServerMachine, AMessageSentBlindlyBehindDataIsNotTakenForCommands) {
  Client client;
  client.Send(kStart);
  client.Send(kEnvelope);
  EXPECT_TRUE(client.Send("DATA\r\nMAIL FROM:<evil@x.example>\r\n.\r\n").starts_with("554 5.5.0"));
  EXPECT_TRUE(client.closed);
  EXPECT_TRUE(client.messages.empty());
}

TEST(ServerMachine, EachVerbHasItsPlace) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"MAIL FROM:<a@b.example>"}, "503 5.5.1"},
      {{"RCPT TO:<a@b.example>"}, "503 5.5.1"},
      {{"DATA"}, "503 5.5.1"},
      {{"EHLO x", "RCPT TO:<a@b.example>"}, "503 5.5.1"},
      {{"EHLO x", "MAIL FROM:<>", "MAIL FROM:<>"}, "503 5.5.1"},
      {{"EHLO x", "MAIL FROM:<>", "DATA"}, "503 5.5.1"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<unknown@b.example>", "DATA"}, "503 5.5.1"},
      {{"EHLO x", "MAIL FROM:<>", "EHLO x", "RCPT TO:<a@b.example>"}, "503 5.5.1"},
      {{"EHLO x", "MAIL FROM:<>", "RSET", "RCPT TO:<a@b.example>"}, "503 5.5.1"},
      {{"EHLO"}, "501 5.5.2"},
      {{"EHLO x y"}, "501 5.5.4"},
      {{"EHLO " + std::string(256, 'x')}, "501 5.5.4"},
      {{"LHLO x"}, "500 5.5.2"},
      {{"STARTTLS"}, "503 5.5.1"},
      {{"EHLO x", "STARTTLS"}, "502 5.5.1"},
      {{"AUTH PLAIN"}, "503 5.5.1"},
      {{"EHLO x", "AUTH PLAIN"}, "502 5.5.1"},
      {{"EHLO x", "XCLIENT ADDR=192.0.2.1"}, "550 5.7.0"},
      {{"BDAT 0 LAST"}, "503 5.5.1"},
      {{"EXPN staff"}, "500 5.5.2"},
      {{"VRFY a@b.example"}, "252 2.5.0"},
      {{"noop anything"}, "250 2.0.0"},
      {{"QUIT now"}, "501 5.5.2"},
      {{""}, "500 5.5.2"},
      {{"GET / HTTP/1.1"}, "554 5.7.0"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SIZE=99999999999999999999"}, "552 5.3.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SIZE=1048577"}, "552 5.3.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SIZE=1048576"}, "250 2.1.0"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SIZE=x"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SIZE="}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> BODY=8BITMIME SIZE=10"}, "250 2.1.0"},
      {{"EHLO x", "MAIL FROM:<a@b.example> BODY=BINARYMIME"}, "501 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SMTPUTF8"}, "250 2.1.0"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SMTPUTF8=yes"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> SMTPUTF8 SMTPUTF8"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> RET=FULL ENVID=QQ+2B1"}, "250 2.1.0"},
      {{"EHLO x", "MAIL FROM:<a@b.example> RET=SOME"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> RET=FULL RET=HDRS"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> ENVID="}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> ENVID=+0D+0AX"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> ENVID=" + std::string(101, 'x')}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example> AUTH=<>"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<a@b.example>SIZE=1"}, "501 5.5.4"},
      {{"EHLO x", "MAIL FROM: <a@b.example>"}, "250 2.1.0"},
      {{"EHLO x", "mail from:<a@b.example>"}, "250 2.1.0"},
      {{"EHLO x", "MAIL a@b.example"}, "501 5.5.4"},
      {{"EHLO x", "MAIL FROM:<;sh;>"}, "501 5.1.7"},
      {{"EHLO x", "MAIL FROM:<@r.example:a@b.example>"}, "553 5.1.7"},
      {{"EHLO x", "MAIL FROM:<postmaster>"}, "553 5.1.7"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<>"}, "501 5.1.3"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<\"\">"}, "501 5.1.3"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> NOTIFY=NEVER"}, "250 2.1.5"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> ORCPT=rfc822;a@b.example"}, "250 2.1.5"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> ORCPT=a@b.example"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> ORCPT=rfc822;a+0A"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b.example> SIZE=1"}, "555 5.5.4"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a\x80@b.example>"}, "501 5.1.3"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<\xc3\xa4@b.example>"}, "553 5.6.7"},
      {{"EHLO x", "MAIL FROM:<\xc3\xa4@b.example>"}, "553 5.6.7"},
      {{"EHLO x", "MAIL FROM:<\xc3\xa4@b.example> SMTPUTF8", "RCPT TO:<\xc3\xb6@b.example>"}, "250 2.1.5"},
      {{"EHLO x", "MAIL FROM:<> SMTPUTF8", "RSET", "MAIL FROM:<>", "RCPT TO:<\xc3\xb6@b.example>"},
       "553 5.6.7"},
      {{"EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b\xc3\xbc.example>"}, "250 2.1.5"},
      {{"EHLO x", std::string("MAIL FROM:<a\0b@c.example>", 25)}, "501 5.5.2"},
      {{"EHLO x\ry"}, "501 5.5.2"},
  };
  for (const auto& [commands, reply] : cases) {
    Client client;
    EXPECT_EQ(client.Talk(commands).substr(0, reply.size()), reply) << commands.back();
  }
}

TEST(ServerMachine, LongLinesAreRefusedOnceAndTheNextLineIsRead) {
  for (const size_t octets : {511, 512, 513, 2046, 2047, 2048, 64 * 1024, 1024 * 1024}) {
    for (const size_t step : {size_t{1000}, size_t{1} << 22}) {
      Client client;
      const std::string line = "NOOP " + std::string(octets - 5, 'x') + "\r\n";
      const std::string said = client.Send(line + "NOOP\r\n", step);
      const bool fits = octets + 2 <= kMaxCommandOctets;
      EXPECT_EQ(said, std::string(fits ? "250 2.0.0 so be it" : "500 5.5.2 a line has 2048 octets at most") +
                          "\r\n250 2.0.0 so be it\r\n")
          << octets;
    }
  }
}

TEST(ServerMachine, EndlessLineIsNotKept) {
  Client client;
  EXPECT_TRUE(client.Send(std::string(1 << 20, 'x'), 16 * 1024).starts_with("500 5.5.2"));
  EXPECT_EQ(client.Send("x\r\nNOOP\r\n"), "250 2.0.0 so be it\r\n");
}

TEST(ServerMachine, BareLineFeedEndsNoCommandSilently) {
  Client client;
  EXPECT_TRUE(client.Send("EHLO x\nMAIL FROM:<>\r\n").starts_with("500 5.5.2"));
}

TEST(ServerMachine, SmuggledMessagesAreRefusedAtTheTrueEnd) {
  for (const std::string& vector : std::vector<std::string>{
           "\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r",
           std::string("\r\n\0.\r\n", 6), std::string("\r\n.\0\r\n", 6), "\r\n.\r\r\n", "\r\r\n.\r\r\n"}) {
    for (const char* before : {"", "Subject: x\r\n\r\nbody"}) {
      for (const size_t step : {size_t{1}, size_t{1 << 20}}) {
        Client client;
        StartMessage(client);
        const std::string inner = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nevil\r\n";
        EXPECT_EQ(client.Send(before + vector + inner, step), "");
        EXPECT_TRUE(client.Send("\r\n.\r\n", step).starts_with("554 5.6.0"));
        EXPECT_TRUE(client.messages.empty());
        EXPECT_EQ(client.resets, 1);
        EXPECT_TRUE(client.Send("MAIL FROM:<>\r\n").starts_with("250 2.1.0"));
      }
    }
  }
}

// The relay adds a field to what it takes. What it has taken, the store must take too: a refusal there would
// become a notification to a sender who is mostly forged.
TEST(ServerMachine, AStoreTakesTheLargestHeaderThatARelayTook) {
  std::string received;
  for (int i = 0; i < kMaxReceivedLines - 1; ++i) received += "Received: by x\r\n";
  const std::string filler = "X: " + std::string(kMaxHeaderOctets - received.size() - 7, 'x') + "\r\n";
  const std::string own = "Received: from client.example ([192.0.2.1])\r\n\tby relay with ESMTP id x\r\n";
  Client relay;
  StartMessage(relay);
  EXPECT_TRUE(relay.Send(received + filler + "\r\n.\r\n").starts_with("250 "));
  const auto start = [](Client& store) {
    store.Talk({"LHLO relay.example", "MAIL FROM:<a@b.c>", "RCPT TO:<x@y.z>", "DATA"});
  };
  Client store(Protocol::kLmtp);
  start(store);
  EXPECT_TRUE(store.Send(own + received + filler + "\r\n.\r\n").starts_with("250 "));
  Client loop(Protocol::kLmtp);
  start(loop);
  EXPECT_TRUE(loop.Send(own + own + received + "\r\n.\r\n").starts_with("554 5.4.6"));
  Client endless(Protocol::kLmtp);
  start(endless);
  EXPECT_TRUE(endless.Send(filler + filler + "\r\n.\r\n").starts_with("552 5.3.4"));
}

TEST(ServerMachine, SizeHeaderAndLoopLimitsRefuseAtTheEnd) {
  Client large(Protocol::kSmtp, 1000);
  StartMessage(large);
  EXPECT_EQ(large.Send(std::string(2000, 'x'), 100), "");
  EXPECT_TRUE(large.Send("\r\n.\r\n").starts_with("552 5.3.4"));

  Client fits(Protocol::kSmtp, 1000);
  StartMessage(fits);
  EXPECT_TRUE(fits.Send(std::string(998, 'x') + "\r\n.\r\n").starts_with("250 "));

  std::string received;
  for (int i = 0; i < kMaxReceivedLines - 1; ++i) received += "Received: by x\r\n";
  Client below;
  StartMessage(below);
  EXPECT_TRUE(below.Send(received + "\r\n.\r\n").starts_with("250 "));
  Client loop;
  StartMessage(loop);
  EXPECT_TRUE(loop.Send(received + "Received: by x\r\n\r\n.\r\n").starts_with("554 5.4.6"));

  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "X: y\r\n";
  Client header;
  StartMessage(header);
  EXPECT_TRUE(header.Send(many + "\r\n.\r\n").starts_with("552 5.3.4"));
}

TEST(ServerMachine, ManyErrorsMakeItSlowAndThenEndIt) {
  Client client;
  client.Send(kStart);
  std::string said;
  for (int i = 0; i < kHardErrors; ++i) {
    EXPECT_EQ(client.slow(), i > kSoftErrors) << i;
    EXPECT_FALSE(client.closed);
    said = client.Send("FOO\r\n");
  }
  EXPECT_NE(said.find("421 4.7.0"), std::string::npos);
  EXPECT_TRUE(client.closed);
}

TEST(ServerMachine, GuessingAtRecipientsEnds) {
  Client client;
  client.Send(kStart);
  client.Send("MAIL FROM:<>\r\n");
  for (int i = 0; i < kHardErrors; ++i) client.Send("RCPT TO:<unknown@y.example>\r\n");
  EXPECT_TRUE(client.closed);
}

TEST(ServerMachine, RecipientsHaveALimit) {
  Client client;
  client.Send(kStart);
  client.Send("MAIL FROM:<>\r\n");
  for (size_t i = 0; i < kMaxRecipients; ++i) client.Send(fmt::format("RCPT TO:<u{}@y.example>\r\n", i));
  EXPECT_EQ(client.recipients.size(), kMaxRecipients);
  EXPECT_TRUE(client.Send("RCPT TO:<more@y.example>\r\n").starts_with("452 4.5.3"));
}

TEST(ServerMachine, LmtpAnswersForEachRecipient) {
  Client client(Protocol::kLmtp);
  EXPECT_TRUE(client.Send("EHLO x\r\n").starts_with("500 "));
  EXPECT_TRUE(client.Send("LHLO x\r\n").starts_with("250-"));
  client.Send(
      "MAIL FROM:<>\r\nRCPT TO:<a@y.example>\r\nRCPT TO:<unknown@y.example>\r\nRCPT TO:<b@y.example>\r\n");
  client.Send("DATA\r\n");
  client.lmtp_replies = 2;
  EXPECT_EQ(client.Send("x\r\n.\r\n"), "250 2.0.0 queued\r\n250 2.0.0 queued\r\n");
  client.Send("MAIL FROM:<>\r\nRCPT TO:<a@y.example>\r\nRCPT TO:<b@y.example>\r\n");
  client.Send("DATA\r\n");
  const std::string said = client.Send("bad\nline\r\n.\r\n");
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
}

Client TlsClient(Protocol protocol = Protocol::kSmtp) {
  return Client(protocol, 1 << 20, net::TlsUse::kOnDemand);
}

TEST(ServerMachine, TlsIsOfferedOnceAndBeginsTheSessionAnew) {
  Client client = TlsClient();
  EXPECT_NE(client.Send(kStart).find("250 STARTTLS\r\n"), std::string::npos);
  EXPECT_EQ(client.Send("STARTTLS\r\n"), "220 2.0.0 begin\r\n");
  EXPECT_EQ(client.handshakes, 1);
  // RFC 3207 section 4.2: the EHLO in clear counts no more.
  EXPECT_TRUE(client.Send("MAIL FROM:<a@x.example>\r\n").starts_with("503 5.5.1"));
  EXPECT_EQ(client.Send(kStart).find("STARTTLS"), std::string::npos);
  EXPECT_TRUE(client.Send("STARTTLS\r\n").starts_with("503 5.5.1"));
  StartMessage(client);
  EXPECT_EQ(client.Send("x\r\n.\r\n"), "250 2.0.0 queued\r\n");
}

// What somebody on the way sends behind STARTTLS in clear must not be obeyed inside TLS, as a whole command
// or as the beginning of one.
TEST(ServerMachine, WhatIsSentBehindStartTlsIsNeverObeyed) {
  for (const char* behind : {"NOOP\r\n", "MAIL FROM:<a@x.example>\r\n", "RS", "\r\n"}) {
    Client client = TlsClient();
    client.Send(kStart);
    EXPECT_TRUE(client.Send(std::string("STARTTLS\r\n") + behind).starts_with("554 5.5.0")) << behind;
    EXPECT_TRUE(client.closed);
    EXPECT_EQ(client.handshakes, 0);
  }
}

TEST(ServerMachine, StartTlsHasItsPlace) {
  Client client = TlsClient();
  EXPECT_TRUE(client.Send("STARTTLS\r\n").starts_with("503 5.5.1")) << "EHLO comes first";
  client.Send(kStart);
  EXPECT_TRUE(client.Send("STARTTLS now\r\n").starts_with("501 5.5.2"));
  client.Send(kEnvelope);
  EXPECT_TRUE(client.Send("STARTTLS\r\n").starts_with("503 5.5.1")) << "not in the middle of a message";
  Client lmtp = TlsClient(Protocol::kLmtp);
  EXPECT_NE(lmtp.Send("LHLO x\r\n").find("STARTTLS"), std::string::npos);
  EXPECT_TRUE(lmtp.Send("STARTTLS\r\n").starts_with("220 "));
}

// RFC 3030.
TEST(ServerMachine, ChunksAreOneMessageHoweverTheyAreCut) {
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1 << 20}}) {
    Client client;
    client.Send(kStart);
    const std::string said = client.Send(
        kEnvelope + "BDAT 13\r\nSubject: x\r\n\rBDAT 4\r\n\n.\r\nBDAT 0\r\nBDAT 6 last\r\nQUIT\r\nNOOP\r\n",
        step);
    EXPECT_EQ(client.messages, std::vector<std::string>{"Subject: x\r\n\r\n.\r\nQUIT\r\n"})
        << "no dot ends it";
    EXPECT_NE(said.find("250 2.0.0 13 octets\r\n250 2.0.0 4 octets\r\n250 2.0.0 0 octets\r\n250 2.0.0 "
                        "queued\r\n250 2.0.0 so be it"),
              said.npos)
        << said;
    EXPECT_EQ(client.headers, 1);
  }
}

TEST(ServerMachine, AMessageInChunksEndsWithALineEnd) {
  Client client;
  client.Send(kStart);
  client.Send(kEnvelope + "BDAT 3 LAST\r\na\r\n");
  client.Send(kEnvelope + "BDAT 3\r\nabcBDAT 0 LAST\r\n");
  client.Send(kEnvelope + "BDAT 0 LAST\r\n");
  EXPECT_EQ(client.messages, (std::vector<std::string>{"a\r\n", "abc\r\n", ""}));
}

TEST(ServerMachine, ChunksThatAreRefusedAreNeverTakenForCommands) {
  const std::string evil = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\n";
  const std::string chunk = fmt::format("BDAT {}\r\n{}", evil.size(), evil);
  {
    Client client;  // without a transaction, without a recipient
    client.Send(kStart);
    EXPECT_TRUE(client.Send(chunk).starts_with("503 5.5.1 "));
    client.Send("MAIL FROM:<a@x.example>\r\n");
    EXPECT_TRUE(client.Send(chunk).starts_with("503 5.5.1 "));
    EXPECT_TRUE(client.Send("RCPT TO:<b@y.example>\r\n").starts_with("250 "))
        << "the transaction is as it was";
    EXPECT_EQ(client.recipients, std::vector<std::string>{"b@y.example"});
  }
  {
    Client client;  // no room: what follows the first chunk is no message either
    client.room = false;
    client.Send(kStart);
    const std::string said =
        client.Send(kEnvelope + chunk + fmt::format("BDAT {} LAST\r\n{}", evil.size(), evil));
    EXPECT_NE(said.find("452 4.3.1 no room\r\n503 5.5.1 "), said.npos) << said;
    EXPECT_TRUE(client.messages.empty());
    EXPECT_EQ(client.recipients, std::vector<std::string>{"b@y.example"});
  }
}

TEST(ServerMachine, WhatSpoilsAChunkSpoilsTheMessage) {
  for (const std::string& text :
       {std::string("a\nb\r\n"), std::string("a\rb\r\n"), std::string("a\0b\r\n", 5), std::string("a\r")}) {
    Client client;
    client.Send(kStart);
    const std::string said =
        client.Send(kEnvelope + fmt::format("BDAT {} LAST\r\n{}NOOP\r\n", text.size(), text));
    EXPECT_NE(said.find("554 5.6.0 "), said.npos) << said;
    EXPECT_TRUE(said.ends_with("250 2.0.0 so be it\r\n")) << said;
    EXPECT_TRUE(client.messages.empty());
  }
  Client client;
  client.Send(kStart);
  const std::string said = client.Send(kEnvelope + "BDAT 2\r\n\nxBDAT 2 LAST\r\nyy");
  EXPECT_NE(said.find("554 5.6.0 "), said.npos);
  EXPECT_NE(said.find("503 5.5.1 "), said.npos) << "the rest of it is no message of its own";
  EXPECT_TRUE(client.messages.empty());
}

TEST(ServerMachine, ChunksHaveTheLimitsOfMessages) {
  Client client(Protocol::kSmtp, 1000);
  client.Send(kStart);
  const std::string line = std::string(98, 'x') + "\r\n";
  std::string text;
  for (int i = 0; i < 11; ++i) text += line;
  EXPECT_NE(client.Send(kEnvelope + fmt::format("BDAT {} LAST\r\n{}", text.size(), text)).find("552 5.3.4 "),
            std::string::npos);
  EXPECT_TRUE(client.messages.empty());
  // What it would be is never held: 2^63 octets are skipped up to a limit, and then it ends.
  client.Send("BDAT 9223372036854775808 LAST\r\n");
  for (uint64_t sent = 0; sent <= kMostExcessOctets && !client.closed; sent += 1 << 20)
    client.Send(std::string(1 << 20, 'x'));
  EXPECT_TRUE(client.closed);
}

// Nobody can tell where commands go on.
TEST(ServerMachine, BdatWithoutALengthEndsTheSession) {
  for (const char* argument : {"", " x", " -1", " 18446744073709551616", " 1 LAST x", " 1 FIRST", " 0x10"}) {
    Client client;
    client.Send(kStart);
    const std::string said = client.Send(kEnvelope + "BDAT" + argument + "\r\nNOOP\r\n");
    EXPECT_NE(said.find("501 5.5.4 "), said.npos) << argument;
    EXPECT_TRUE(client.closed) << argument;
  }
  for (const std::string& line : {std::string("BDAT\t100\r\n"), std::string("BDAT 100\tLAST\r\n"),
                                  std::string("bdat 100\n"), "BDAT " + std::string(5000, '0') + "100\r\n"}) {
    for (const size_t step : {size_t{1}, size_t{1 << 20}}) {
      Client client;
      client.Send(kStart);
      client.Send(kEnvelope);
      client.Send(line + "NOOP\r\n", step);
      EXPECT_TRUE(client.closed) << line.substr(0, 20);
    }
  }
}

TEST(ServerMachine, BetweenChunksOnlyTheMessageGoesOn) {
  Client client;
  client.Send(kStart);
  client.Send(kEnvelope);
  client.Send("BDAT 3\r\na\r\n");
  for (const char* command : {"DATA", "MAIL FROM:<a@x.example>", "RCPT TO:<c@y.example>", "STARTTLS"})
    EXPECT_TRUE(client.Talk({command}).starts_with("503 5.5.1 ")) << command;
  EXPECT_TRUE(client.Talk({"NOOP"}).starts_with("250 "));
  EXPECT_TRUE(client.Talk({"RSET"}).starts_with("250 "));
  EXPECT_EQ(client.resets, 1);
  EXPECT_TRUE(client.Send("BDAT 3 LAST\r\nb\r\n").starts_with("503 5.5.1 "));
  EXPECT_TRUE(client.messages.empty());
}

TEST(ServerMachine, LmtpAnswersTheLastChunkForEachRecipient) {
  Client client(Protocol::kLmtp);
  client.lmtp_replies = 2;
  client.Send("LHLO c.example\r\n");
  const std::string two = kEnvelope + "RCPT TO:<c@y.example>\r\n";
  EXPECT_TRUE(client.Send(two + "BDAT 3\r\na\r\nBDAT 0 LAST\r\n")
                  .ends_with("250 2.0.0 3 octets\r\n250 2.0.0 queued\r\n250 2.0.0 queued\r\n"));
  client.room = false;
  EXPECT_TRUE(
      client.Send(two + "BDAT 3 LAST\r\na\r\n").ends_with("452 4.3.1 no room\r\n452 4.3.1 no room\r\n"));
}

TEST(Reply, NothingFromOutsideForgesALine) {
  EXPECT_EQ(FormatReply({550, "5.1.1", "a\r\n250 ok\x80"}), "550 5.1.1 a??250 ok?\r\n");
  EXPECT_LE(FormatReply({550, "5.1.1", std::string(5000, 'x')}).size(), 512u);
}

}  // namespace
}  // namespace prov::smtp
