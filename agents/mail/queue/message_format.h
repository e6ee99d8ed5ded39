// How a queued message lies in its file: readable by people, torn writes seen. Pure.
//
//   prov-queue 1
//   id 018f3c2a9d1c0123456789          names the file
//   trace 018f3c2a9d1c0123456789       names the mail in logs, on all hosts
//   received 1700000000123             milliseconds since 1970
//   client 192.0.2.1
//   body 8bit                          or 7bit
//   sender <alice@example.org>         <> is the null sender
//   recipient <bob@example.net>        number 0; one line each
//   content 00000000000000000123       octets that follow the empty line
//
//   Received: …                        the message, CRLF line ends, dots not stuffed
//   end 018f3c2a9d1c0123456789         the message was whole; what comes now is a journal
//   defer 1700000000456 1700000300456 0 451 4.4.1 …     time, next attempt, recipients, why
//   done 1700000300789 0 250 2.0.0 …                    time, recipients, reply
//   fail 1700000300789 1 550 5.1.1 …                    its sender was told, or is null
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::queue {

using Time = std::chrono::system_clock::time_point;

constexpr size_t kMaxRecipients = 1000;
// Of everything before the empty line: a thousand recipients of the longest kind fit.
constexpr size_t kMaxEnvelopeOctets = 512 * 1024;
constexpr size_t kMaxReasonOctets = 400;  // of a reply in the journal

enum class State { kPending, kDelivered, kFailed };

struct Recipient {
  std::string address;
  State state = State::kPending;
  uint32_t attempts = 0;  // that ended in a deferral
  Time due;               // of the next attempt, while pending
  std::string reason;     // of the last change
};

struct Envelope {
  std::string id;  // [a-z0-9]{1,64}
  std::string trace;
  Time received;
  std::string client;  // address it came from
  bool eight_bit = false;
  std::string sender;  // empty: null
  std::vector<Recipient> recipients;
};

struct StoredMessage {
  Envelope envelope;
  uint64_t content_offset = 0;
  uint64_t content_octets = 0;
  uint64_t good_octets = 0;  // of the file; what lies behind is a torn journal line
};

struct JournalEntry {
  State state = State::kPending;  // kPending: deferred
  Time time;
  Time due;  // when deferred
  std::vector<size_t> recipients;
  std::string reason;
};

bool IsMessageId(std::string_view id);

// The part before the content; `content_octets` may be set later at PatchOffset, its length is fixed.
std::string FormatEnvelope(const Envelope& envelope, uint64_t content_octets);
// Where in FormatEnvelope's result the 20 digits of the content's length begin.
size_t ContentLengthOffset(const std::string& formatted);
std::string FormatLength(uint64_t octets);
// What stands between content and journal.
std::string FormatEnd(std::string_view id);
std::string FormatEntry(const JournalEntry& entry);

// `head`: the file's beginning, with the empty line in it. DATA_LOSS when it is none of ours.
absl::StatusOr<StoredMessage> ParseEnvelope(std::string_view head);
// `tail`: what follows the content. Applies the journal to `message` up to the first torn line. DATA_LOSS
// when the end mark is not there: the message was never acknowledged.
absl::Status ApplyTail(std::string_view tail, StoredMessage& message);
// What applying such an entry does; also used while the message is in memory.
void ApplyEntry(const JournalEntry& entry, Envelope& envelope);

}  // namespace prov::queue
