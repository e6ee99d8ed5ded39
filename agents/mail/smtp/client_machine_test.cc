#include "agents/mail/smtp/client_machine.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agents/mail/smtp/content_encoder.h"
#include "agents/mail/smtp/data_reader.h"
#include "agents/mail/smtp/trace_header.h"

namespace prov::smtp {
namespace {

// Answers what the client sends with a script, one answer for each line sent ("<content>" stands for one).
struct Outcome {
  std::vector<std::string> sent;
  std::vector<Reply> replies;
  bool spoke = false;
};

Outcome Play(const ClientOptions& options, const ClientMessage& message,
             const std::vector<std::string>& script) {
  ClientMachine machine(options, message);
  Outcome outcome;
  size_t line = 0;
  const auto answer = [&] {
    if (line < script.size() && !script[line].empty()) machine.Input(script[line]);
    ++line;
  };
  answer();  // the greeting
  for (int step_count = 0; step_count < 1000; ++step_count) {
    const ClientStep step = machine.Next();
    switch (step.kind) {
      case ClientStep::Kind::kSend: {
        std::string_view left = step.output;
        while (!left.empty()) {
          const size_t end = left.find("\r\n");
          outcome.sent.emplace_back(left.substr(0, end));
          left.remove_prefix(end + 2);
          answer();
        }
        break;
      }
      case ClientStep::Kind::kStartTls:
        outcome.sent.push_back("<handshake>");
        machine.Secured();
        break;
      case ClientStep::Kind::kSendContent:
        outcome.sent.push_back("<content>");
        machine.ContentSent();
        answer();
        break;
      case ClientStep::Kind::kNeedInput:
        machine.ConnectionLost("the script ended");
        break;
      case ClientStep::Kind::kDone:
        outcome.replies = machine.replies();
        outcome.spoke = machine.spoke();
        return outcome;
    }
  }
  ADD_FAILURE() << "it never ends";
  return outcome;
}

Outcome Play(Protocol protocol, const ClientMessage& message, const std::vector<std::string>& script) {
  return Play({protocol, "me.example"}, message, script);
}

const ClientMessage kOne = {"a@x.example", {"b@y.example"}, 100, true};
const ClientMessage kThree = {"", {"a@y.example", "b@y.example", "c@y.example"}, 100, false};

TEST(ClientMachine, SpeaksOnlyWhatWasAnnounced) {
  const Outcome plain =
      Play(Protocol::kSmtp, kOne,
           {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 2.0.0 queued\r\n"});
  EXPECT_EQ(plain.sent, (std::vector<std::string>{"EHLO me.example", "MAIL FROM:<a@x.example>",
                                                  "RCPT TO:<b@y.example>", "DATA", "<content>"}));
  EXPECT_EQ(ReplyText(plain.replies[0]), "250 2.0.0 queued");

  const Outcome rich = Play(Protocol::kSmtp, kOne,
                            {"220 hi\r\n", "250-y\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                             "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"});
  EXPECT_EQ(rich.sent[1], "MAIL FROM:<a@x.example> SIZE=100 BODY=8BITMIME");
  EXPECT_TRUE(rich.replies[0].ok());
}

TEST(ClientMachine, WhatTheSenderAskedForGoesOnToServersThatKnowOfIt) {
  ClientMessage message = kOne;
  message.returned = queue::Return::kHeaders;
  message.envelope_id = "QQ+2B1";
  message.wishes = {{{.said = true}, "rfc822;b@y.example"}};
  const std::vector<std::string> rest = {"250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"};
  std::vector<std::string> script = {"220 hi\r\n", "250-y\r\n250 DSN\r\n"};
  script.insert(script.end(), rest.begin(), rest.end());
  const Outcome knows = Play(Protocol::kSmtp, message, script);
  EXPECT_EQ(knows.sent[1], "MAIL FROM:<a@x.example> RET=HDRS ENVID=QQ+2B1");
  EXPECT_EQ(knows.sent[2], "RCPT TO:<b@y.example> NOTIFY=never ORCPT=rfc822;b@y.example");
  script[1] = "250 y\r\n";
  const Outcome knows_not = Play(Protocol::kSmtp, message, script);
  EXPECT_EQ(knows_not.sent[1], "MAIL FROM:<a@x.example>");
  EXPECT_EQ(knows_not.sent[2], "RCPT TO:<b@y.example>");
}

// RFC 6531 section 3.5: it is not made ASCII on the way.
TEST(ClientMachine, MailBeyondAsciiGoesToNobodyWhoDoesNotKnowIt) {
  ClientMessage message = kOne;
  message.utf8 = true;
  const Outcome refused = Play(Protocol::kSmtp, message, {"220 hi\r\n", "250 y\r\n"});
  EXPECT_EQ(ReplyText(refused.replies[0]).substr(0, 9), "553 5.6.7");
  const Outcome taken = Play(
      Protocol::kSmtp, message,
      {"220 hi\r\n", "250-y\r\n250 SMTPUTF8\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"});
  EXPECT_EQ(taken.sent[1], "MAIL FROM:<a@x.example> SMTPUTF8");
  EXPECT_TRUE(taken.replies[0].ok());
}

TEST(ClientMachine, FallsBackToHelo) {
  const Outcome old = Play(
      Protocol::kSmtp, kOne,
      {"220 hi\r\n", "502 what\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"});
  EXPECT_EQ(old.sent[1], "HELO me.example");
  EXPECT_TRUE(old.replies[0].ok());
}

const ClientOptions kWithTls = {Protocol::kSmtp, "me.example", true};

// RFC 3207 section 4.2. Whoever sits in between may have put it there.
TEST(ClientMachine, NothingThatWasSaidBeforeTlsCounts) {
  const Outcome outcome = Play(kWithTls, kOne,
                               {"220 hi\r\n", "250-y\r\n250-SIZE 10\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
                                "220 go\r\n250-z\r\n250 PIPELINING\r\n250 forged\r\n", "250 y\r\n",
                                "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 2.0.0 queued\r\n"});
  EXPECT_EQ(outcome.sent, (std::vector<std::string>{"EHLO me.example", "STARTTLS", "<handshake>",
                                                    "EHLO me.example", "MAIL FROM:<a@x.example>",
                                                    "RCPT TO:<b@y.example>", "DATA", "<content>"}));
  EXPECT_EQ(ReplyText(outcome.replies[0]), "250 2.0.0 queued");
}

TEST(ClientMachine, AServerThatTakesBackItsOfferOfTlsGetsTheMailInClear) {
  for (const char* refusal : {"454 4.7.0 not now\r\n", "500 what\r\n"}) {
    const Outcome outcome = Play(kWithTls, kOne,
                                 {"220 hi\r\n", "250-y\r\n250 STARTTLS\r\n", refusal, "250 ok\r\n",
                                  "250 ok\r\n", "354 go\r\n", "250 2.0.0 queued\r\n"});
    EXPECT_EQ(outcome.sent[2], "MAIL FROM:<a@x.example>") << refusal;
    EXPECT_TRUE(outcome.replies[0].ok());
  }
}

TEST(ClientMachine, ALostHandshakeIsToldApart) {
  ClientMachine machine(kWithTls, kOne);
  machine.Input("220 hi\r\n");
  EXPECT_EQ(machine.Next().output, "EHLO me.example\r\n");
  machine.Input("250-y\r\n250 STARTTLS\r\n");
  EXPECT_EQ(machine.Next().output, "STARTTLS\r\n");
  machine.Input("220 go\r\n");
  EXPECT_EQ(machine.Next().kind, ClientStep::Kind::kStartTls);
  machine.ConnectionLost("reset");
  EXPECT_TRUE(machine.tls_failed());
  EXPECT_FALSE(machine.spoke()) << "the same server may be asked again";
}

TEST(ClientMachine, EachRecipientHasItsOwnOutcome) {
  for (const char* hello : {"250 y\r\n", "250-y\r\n250 PIPELINING\r\n"}) {
    const Outcome outcome = Play(Protocol::kLmtp, kThree,
                                 {"220 hi\r\n", hello, "250 ok\r\n", "250 ok\r\n", "550 5.1.1 no\r\n",
                                  "250 ok\r\n", "354 go\r\n", "250 2.0.0 done\r\n452 4.3.1 full\r\n"});
    EXPECT_EQ(outcome.sent[0], "LHLO me.example");
    EXPECT_EQ(ReplyText(outcome.replies[0]), "250 2.0.0 done");
    EXPECT_EQ(ReplyText(outcome.replies[1]), "550 5.1.1 no");
    EXPECT_EQ(ReplyText(outcome.replies[2]), "452 4.3.1 full");
  }
}

TEST(ClientMachine, LostInTheMiddleOfLmtpRepliesDefersOnlyTheRest) {
  const Outcome outcome = Play(Protocol::kLmtp, kThree,
                               {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n",
                                "250 ok\r\n", "354 go\r\n", "250 2.0.0 done\r\n"});
  EXPECT_EQ(outcome.replies[0].code, 250);
  EXPECT_EQ(outcome.replies[1].code, 451);
  EXPECT_EQ(outcome.replies[2].code, 451);
}

TEST(ClientMachine, NothingIsFinalBeforeTheServerTakesPart) {
  for (const std::string& greeting :
       {std::string("554 no\r\n"), std::string("421 busy\r\n"), std::string("HTTP/1.1 400\r\n"),
        std::string(), std::string(10'000, 'x'), std::string("99\r\n"), std::string("250-x\r\n550 y\r\n")}) {
    const Outcome outcome = Play(Protocol::kSmtp, kOne, {greeting});
    EXPECT_FALSE(outcome.spoke) << greeting;
    EXPECT_EQ(outcome.replies[0].code / 100, 4) << greeting;
  }
}

TEST(ClientMachine, RefusalsAreForAllWhoHaveNoAnswerYet) {
  const Outcome mail = Play(Protocol::kSmtp, kThree, {"220 hi\r\n", "250 y\r\n", "550 5.7.1 no\r\n"});
  for (const Reply& reply : mail.replies) EXPECT_EQ(ReplyText(reply), "550 5.7.1 no");
  const Outcome closing =
      Play(Protocol::kSmtp, kThree,
           {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "550 5.1.1 no\r\n", "421 4.3.2 bye\r\n"});
  EXPECT_EQ(closing.replies[0].code, 550);
  EXPECT_EQ(closing.replies[1].code, 421);
  EXPECT_EQ(closing.replies[2].code, 421);
  const Outcome all = Play(Protocol::kSmtp, kOne, {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "550 no\r\n"});
  EXPECT_EQ(all.sent.back(), "RCPT TO:<b@y.example>") << "no DATA without recipients";
}

TEST(ClientMachine, TooLargeForTheNextHopIsKnownBeforehand) {
  const Outcome outcome = Play(Protocol::kSmtp, kOne, {"220 hi\r\n", "250-y\r\n250 SIZE 99\r\n"});
  EXPECT_EQ(outcome.replies[0].code, 552);
  EXPECT_EQ(outcome.sent.size(), 1u);
}

// What the machine says until it waits for input or is done.
std::string Said(ClientMachine& machine) {
  std::string said;
  for (;;) {
    const ClientStep step = machine.Next();
    if (step.kind == ClientStep::Kind::kSendContent) machine.ContentSent();
    said += step.output;
    if (step.kind == ClientStep::Kind::kNeedInput || step.kind == ClientStep::Kind::kDone) return said;
  }
}

// Answers in turn, and returns the last that the machine said.
std::string Hear(ClientMachine& machine, const std::vector<std::string>& answers) {
  std::string said;
  for (const std::string& answer : answers) {
    machine.Input(answer);
    said = Said(machine);
  }
  return said;
}

TEST(ClientMachine, MessagesFollowOneAnotherOnOneConnection) {
  for (const Protocol protocol : {Protocol::kSmtp, Protocol::kLmtp}) {
    ClientMachine machine({protocol, "me.example"}, kOne);
    Hear(machine, {"220 hi\r\n", "250-y\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n", "354 go\r\n"});
    EXPECT_FALSE(machine.ready());
    EXPECT_EQ(Hear(machine, {"250 2.0.0 first\r\n"}), "");
    ASSERT_TRUE(machine.ready());
    machine.Begin(kThree);
    EXPECT_FALSE(machine.spoke());
    EXPECT_EQ(Said(machine),
              "MAIL FROM:<>\r\nRCPT TO:<a@y.example>\r\nRCPT TO:<b@y.example>\r\nRCPT TO:<c@y.example>\r\n");
    EXPECT_EQ(Hear(machine, {"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n"}), "DATA\r\n");
    EXPECT_TRUE(machine.spoke());
    Hear(machine, {"354 go\r\n", "250 2.0.0 second\r\n"});
    if (protocol == Protocol::kLmtp) Hear(machine, {"250 2.0.0 second\r\n"});
    ASSERT_TRUE(machine.ready());
    EXPECT_EQ(ReplyText(machine.replies()[0]), "250 2.0.0 second");
    EXPECT_EQ(ReplyText(machine.replies()[1]), "550 5.1.1 no");
    EXPECT_EQ(ReplyText(machine.replies()[2]), "250 2.0.0 second");
    machine.Quit();
    EXPECT_EQ(Said(machine), "QUIT\r\n");
  }
}

TEST(ClientMachine, WhatARefusedMessageLeftIsResetBeforeTheNext) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"550 5.1.1 no\r\n", {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "550 5.1.1 no\r\n"}},
      {"451 4.3.0 later\r\n", {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "451 4.3.0 later\r\n"}},
  };
  for (const auto& [refusal, answers] : cases) {
    ClientMachine machine({Protocol::kSmtp, "me.example"}, kOne);
    Hear(machine, answers);
    ASSERT_TRUE(machine.ready()) << refusal;
    EXPECT_EQ(ReplyText(machine.replies()[0]) + "\r\n", refusal);
    machine.Begin(kOne);
    EXPECT_EQ(Said(machine), "RSET\r\n");
    EXPECT_FALSE(machine.spoke());
    EXPECT_EQ(Hear(machine, {"250 ok\r\n"}), "MAIL FROM:<a@x.example>\r\n");
  }
}

TEST(ClientMachine, AConnectionThatBrokeBetweenMessagesSaysNothingAboutTheNext) {
  for (const std::string& answer : {std::string("421 4.4.2 idle\r\n"), std::string()}) {
    ClientMachine machine({Protocol::kSmtp, "me.example"}, kOne);
    Hear(machine, {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"});
    ASSERT_TRUE(machine.ready());
    machine.Begin(kOne);
    Said(machine);
    machine.Input(answer);
    if (answer.empty()) machine.ConnectionLost("reset");
    Said(machine);
    EXPECT_FALSE(machine.spoke());
    EXPECT_FALSE(machine.ready());
    EXPECT_EQ(machine.replies()[0].code / 100, 4);
  }
}

// It would stand for the answer to the next MAIL.
TEST(ClientMachine, AnAnswerTooManyEndsTheSession) {
  ClientMachine machine({Protocol::kSmtp, "me.example"}, kOne);
  const std::string last = Hear(machine, {"220 hi\r\n", "250 y\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n",
                                          "250 2.0.0 ok\r\n250 2.0.0 another\r\n"});
  EXPECT_FALSE(machine.ready());
  EXPECT_EQ(last, "QUIT\r\n");
  EXPECT_EQ(ReplyText(machine.replies()[0]), "250 2.0.0 ok");
  // Nor do answers count that belong to commands behind a refused MAIL.
  ClientMachine refused({Protocol::kSmtp, "me.example"}, kOne);
  EXPECT_EQ(Hear(refused, {"220 hi\r\n", "250-y\r\n250 PIPELINING\r\n", "550 5.7.1 no\r\n"}), "QUIT\r\n");
  EXPECT_FALSE(refused.ready());
}

std::string Encode(const std::string& content, size_t step) {
  ContentEncoder encoder;
  std::string wire;
  for (size_t i = 0; i < content.size(); i += step)
    encoder.Encode(std::string_view(content).substr(i, step), wire);
  encoder.Finish(wire);
  return wire;
}

TEST(ContentEncoder, WhateverLiesInTheStoreArrivesAsLinesAndEndsNothing) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"a\r\n", "a\r\n"},
      {"a", "a\r\n"},
      {".\r\n..\r\n", ".\r\n..\r\n"},
      {"a\n.\nb", "a\r\n.\r\nb\r\n"},
      {"a\r.\rb\r", "a\r\n.\r\nb\r\n"},
      {"a\r\r\n.\r\n", "a\r\n\r\n.\r\n"},
  };
  for (const auto& [content, received] : cases) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{100}}) {
      const std::string wire = Encode(content, step);
      DataReader reader;
      std::string read;
      EXPECT_EQ(reader.Read(wire, read), wire.size());
      EXPECT_TRUE(reader.ended());
      EXPECT_EQ(reader.fault(), ContentFault::kNone);
      EXPECT_EQ(read, received);
    }
  }
}

TEST(TraceHeader, NamesTheMailAndLetsNothingForgeALine) {
  ReceivedBy received{.hello = "evil\") by x;",
                      .client_address = "2001:db8::1",
                      .hostname = "mx.example.net",
                      .with = "ESMTP",
                      .id = "018f3c2a9d1c01",
                      .recipient = "a@b.example"};
  EXPECT_EQ(
      FormatReceived(received),
      "Received: from unknown ([IPv6:2001:db8::1])\r\n\tby mx.example.net with ESMTP id 018f3c2a9d1c01\r\n"
      "\tfor <a@b.example>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
  EXPECT_EQ(TraceIdOf("Received: from a ([::1])\tby b with ESMTP id 018f3c2a9d1c01;\tdate"),
            "018f3c2a9d1c01");
  EXPECT_EQ(TraceIdOf("Received: from a id ../../etc"), "");
  EXPECT_EQ(TraceIdOf("Received: from a"), "");
  EXPECT_EQ(MaildirNameOf("01a2098e118cb49bc26abc"), "1795456635.M276000T01a2098e118cb49bc26abc");
  EXPECT_EQ(MaildirNameOf("4xyz"), "");
  EXPECT_EQ(MaildirNameOf("zzzzzzzzzzzzb49bc26abc"), "");
}

}  // namespace
}  // namespace prov::smtp
