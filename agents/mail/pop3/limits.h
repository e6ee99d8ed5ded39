// How long POP3 sessions wait, for both the server and the proxy.
#pragma once

#include <chrono>
#include <cstddef>

namespace prov::pop3 {

// From the connection to the login, however busy the client is.
constexpr std::chrono::milliseconds kLoginTime = std::chrono::seconds(180);
// From one complete command to the next (RFC 1939 section 3: ten minutes at least).
constexpr std::chrono::milliseconds kIdleTime = std::chrono::minutes(10);
// For each 64 KiB to be taken by the peer.
constexpr std::chrono::milliseconds kWriteTime = std::chrono::minutes(2);
// So long a login waits for another session of its mailbox to end, looking again and again.
constexpr std::chrono::milliseconds kInUseTime = std::chrono::seconds(2);
constexpr std::chrono::milliseconds kInUsePoll{50};
// For a mailbox to be opened: after it a client, or its proxy, is told to come again. Storage that is away
// may not answer for hours.
constexpr std::chrono::milliseconds kOpenTime = std::chrono::seconds(20);
// Answers to pipelined commands are gathered up to here.
constexpr size_t kGatheredOctets = 16 * 1024;

// Of the proxy, for a store's reply to the password: it holds refusals back, and asks PAM.
constexpr std::chrono::milliseconds kBackEndReplyTime = std::chrono::seconds(60);
// For all else that a store says before it; three stores are tried while the client waits.
constexpr std::chrono::milliseconds kBackEndAnswerTime = std::chrono::seconds(10);
// Of the proxy, for each store.
constexpr std::chrono::milliseconds kConnectTime = std::chrono::seconds(5);

struct SessionTimes {  // shorter in tests
  std::chrono::milliseconds login = kLoginTime;
  std::chrono::milliseconds idle = kIdleTime;
  std::chrono::milliseconds write = kWriteTime;
  std::chrono::milliseconds in_use = kInUseTime;
  std::chrono::milliseconds open = kOpenTime;
  std::chrono::milliseconds back_end_answer = kBackEndAnswerTime;
};

constexpr char kDrainedReply[] =
    "-ERR [SYS/TEMP] This host takes no new sessions for now, another one does\r\n";
constexpr char kCutOffReply[] =
    "-ERR [SYS/TEMP] This host does not reach its mailboxes now, another one may\r\n";
constexpr char kBusyReply[] = "-ERR [SYS/TEMP] Too many connections, try again later\r\n";

}  // namespace prov::pop3
