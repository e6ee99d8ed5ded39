// kill -9 of an engine that accepts, relays and delivers all at once: what was answered 250 arrives,
// unaltered.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agents/mail/smtp/testing/mail_client.h"
#include "agents/mail/smtp/testing/mail_host.h"

namespace prov::smtp {
namespace {

constexpr int kFewRounds = 8;
constexpr int kClients = 4;

// Two hundred for `./dev test soak`.
int Rounds() {
  const char* rounds = getenv("KILL_ROUNDS");
  return rounds == nullptr ? kFewRounds : atoi(rounds);
}

// Relay and store in one process, as far as they need to know of each other.
uint16_t StartBoth(MailHost& host) {
  host.AddDomain("example.net");
  host.AddSubscriber(1);
  host.AddSubscriber(2, v1::ALLOW, {"user1@example.net"}, true);
  const uint16_t relay = host.StartRelay();
  host.config.engine.lmtp.forward_relay = fmt::format("127.0.0.1:{}", relay);
  host.AddPool({host.StartStore()});
  return relay;
}

[[noreturn]] void ServeUntilKilled(const std::string& directory, int out) {
  MailHost host(directory);
  const uint16_t port = StartBoth(host);
  if (write(out, &port, sizeof port) != sizeof port) _exit(1);
  for (;;) pause();
}

class Accepted {
 public:
  void Add(const std::string& subject, const std::string& text) {
    const std::lock_guard lock(mutex_);
    texts_[subject] = text;
    ++count;
  }
  std::map<std::string, std::string> texts() const {
    const std::lock_guard lock(mutex_);
    return texts_;
  }
  std::atomic<int> count = 0;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> texts_;  // by subject
};

// Sends to user2, who forwards to user1 and keeps a copy, until the server is gone.
void SendUntilGone(uint16_t port, int number, Accepted& accepted) {
  MailClient client(port);
  client.Reply();
  client.Ask("EHLO client.example");
  for (int n = 0;; ++n) {
    const std::string subject = fmt::format("Subject: m-{}-{}", number, n);
    const size_t octets = static_cast<size_t>(n * 7919 % 90'000);
    const std::string text = fmt::format("{}\r\n\r\n{}\r\nend of it\r\n", subject, std::string(octets, 'x'));
    if (!client.AskAll({"MAIL FROM:<a@b.example>", "RCPT TO:<user2@example.net>", "DATA"})
             .starts_with("354")) {
      return;
    }
    if (!client.Send(text + ".\r\n") || !client.Reply().starts_with("250 ")) return;
    accepted.Add(subject, text);
  }
}

// Texts behind the trace header by subject; each counted. LF line ends.
std::map<std::string, std::multiset<std::string>> Delivered(const std::vector<std::string>& mails) {
  std::map<std::string, std::multiset<std::string>> by_subject;
  for (const std::string& mail : mails) {
    const size_t start = mail.find("\nSubject: ") + 1;
    by_subject[mail.substr(start, mail.find('\n', start) - start)].insert(mail.substr(start));
  }
  return by_subject;
}

TEST(MailKill, WhatWasAcceptedIsDeliveredUnalteredWhereverTheProcessDies) {
  state::TestDirectory directory;
  Accepted accepted;
  const int rounds = Rounds();
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) ServeUntilKilled(directory.path(), ends[1]);
    close(ends[1]);
    uint16_t port = 0;
    ASSERT_EQ(read(ends[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    close(ends[0]);
    const int enough = accepted.count + 8 + 5 * (round % kFewRounds);
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back(SendUntilGone, port, kClients * round + i, std::ref(accepted));
    }
    EXPECT_TRUE(Eventually([&] { return accepted.count >= enough; }));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (std::thread& client : clients) client.join();
  }

  MailHost host(directory.path());
  StartBoth(host);
  ASSERT_TRUE(Eventually([&] { return host.Queued("relay") + host.Queued("forward") == 0; }));
  EXPECT_EQ(host.Queued("relay", "dead") + host.Queued("forward", "dead"), 0u);
  const auto texts = accepted.texts();
  size_t kept = 0, forwarded = 0;
  for (const char* box : {"box-1", "box-2"}) {
    const auto delivered = Delivered(host.Mail(box));
    for (auto [subject, text] : texts) {
      ASSERT_TRUE(delivered.contains(subject)) << box << ": " << subject << " is lost";
      for (size_t at = text.find('\r'); at != text.npos; at = text.find('\r', at)) text.erase(at, 1);
      for (const std::string& copy : delivered.at(subject))
        EXPECT_TRUE(copy == text) << subject << " is altered";
      (box == std::string("box-2") ? kept : forwarded) += delivered.at(subject).size();
    }
  }
  // A delivery that the relay must repeat, for it died before it noted the store's 250, is one message.
  EXPECT_EQ(kept, texts.size());
  // A forward that the store must repeat is a new mail to the relay: only a second one is safe.
  EXPECT_LE(forwarded - texts.size(), static_cast<size_t>(rounds * 20));
  RecordProperty("accepted", static_cast<int>(texts.size()));
  RecordProperty("sent_on_twice", static_cast<int>(forwarded - texts.size()));
  fmt::print("{} kills, {} messages accepted, none lost or altered; {} sent on twice\n", rounds, texts.size(),
             forwarded - texts.size());
}

}  // namespace
}  // namespace prov::smtp
