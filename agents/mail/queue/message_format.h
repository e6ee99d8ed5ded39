// How a queued message lies in its file: readable by people, torn writes seen. Pure.
//
//   prov-queue 1
//   id 018f3c2a9d1c0123456789          names the file
//   trace 018f3c2a9d1c0123456789       names the mail in logs, on all hosts
//   received 1700000000123             milliseconds since 1970
//   client 192.0.2.1
//   body 8bit                          or 7bit
//   smtputf8 yes                       only where its sender said so (RFC 6531); likewise, by RFC 3461:
//   ret full                           or hdrs
//   envid QQ314159                     xtext
//   sender <alice@example.org>         <> is the null sender
//   recipient <bob@example.net>        number 0; one line each, and behind it what is asked for it:
//   notify success,failure             or never
//   orcpt rfc822;bob@example.net       xtext
//   content 00000000000000000123       octets that follow the empty line
//
//   Received: …                        the message, CRLF line ends, dots not stuffed
//   end 018f3c2a9d1c0123456789         the message was whole; what comes now is a journal
//   defer 1700000000456 1700000300456 0 451 4.4.1 …     time, next attempt, recipients, why
//   done 1700000300789 0 250 2.0.0 …                    time, recipients, reply
//   fail 1700000300789 1 550 5.1.1 …                    its sender was told, or is null
//   told 1700014400456 0                                its sender knows that it is late
//   hold 1700020000000                                  not to be tried until
//   release 1700030000000                               an operator says so
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::queue {

using Time = std::chrono::system_clock::time_point;

constexpr size_t kMaxRecipients = 1000;
constexpr size_t kMaxOriginalOctets = 500;    // ORCPT, RFC 3461 section 4.2
constexpr size_t kMaxEnvelopeIdOctets = 100;  // ENVID, RFC 3461 section 4.4
// Of everything before the empty line: a thousand recipients of the longest kind fit.
constexpr size_t kMaxEnvelopeOctets = 1024 * 1024;
constexpr size_t kMaxReasonOctets = 400;  // of a reply in the journal

enum class State { kPending, kDelivered, kFailed };

// What the sender wants back with a notification: RET, RFC 3461 section 4.3.
enum class Return { kUnsaid, kFull, kHeaders };

// When the sender wants to be told: NOTIFY, RFC 3461 section 4.1. Said, and nothing of it: never.
struct Notify {
  bool said = false;
  bool success = false, failure = false, delay = false;

  bool of_failure() const { return !said || failure; }
  bool of_delay() const { return !said || delay; }
  bool operator==(const Notify&) const = default;
};

struct Recipient {
  std::string address;
  Notify notify = {};
  std::string original = {};  // ORCPT, as it came
  State state = State::kPending;
  uint32_t attempts = 0;  // that ended in a deferral
  Time due;               // of the next attempt, while pending
  std::string reason;     // of the last change
  bool told_of_delay = false;
};

struct Envelope {
  std::string id;  // [a-z0-9]{1,64}
  std::string trace;
  Time received;
  std::string client;  // address it came from
  bool eight_bit = false;
  bool utf8 = false;  // SMTPUTF8, RFC 6531
  Return returned = Return::kUnsaid;
  std::string envelope_id;  // ENVID, as it came
  std::string sender;       // empty: null
  std::vector<Recipient> recipients;
};

struct StoredMessage {
  Envelope envelope;
  uint64_t content_offset = 0;
  uint64_t content_octets = 0;
  uint64_t good_octets = 0;  // of the file; what lies behind is a torn journal line
  bool held = false;         // an operator's word: it is not to be tried until it is released
};

struct JournalEntry {
  State state = State::kPending;  // kPending: deferred
  Time time;
  Time due;  // when deferred
  std::vector<size_t> recipients;
  std::string reason;
  bool told_of_delay = false;  // nothing else has changed
};

bool IsMessageId(std::string_view id);

// The part before the content; `content_octets` may be set later at PatchOffset, its length is fixed.
std::string FormatEnvelope(const Envelope& envelope, uint64_t content_octets);
// Where in FormatEnvelope's result the 20 digits of the content's length begin.
size_t ContentLengthOffset(const std::string& formatted);
std::string FormatLength(uint64_t octets);
// "success,delay", "never"; empty when nothing was said.
std::string FormatNotify(const Notify& notify);
// Nothing: not what RFC 3461 section 4.1 allows. In any case.
std::optional<Notify> ParseNotify(std::string_view text);
// What stands between content and journal.
std::string FormatEnd(std::string_view id);
std::string FormatEntry(const JournalEntry& entry);
// "hold TIME" or "release TIME".
std::string FormatHold(Time time, bool held);

// `head`: the file's beginning, with the empty line in it. DATA_LOSS when it is none of ours.
absl::StatusOr<StoredMessage> ParseEnvelope(std::string_view head);
// `tail`: what follows the content. Applies the journal to `message` up to the first torn line. DATA_LOSS
// when the end mark is not there: the message was never acknowledged.
absl::Status ApplyTail(std::string_view tail, StoredMessage& message);
// What applying such an entry does; also used while the message is in memory.
void ApplyEntry(const JournalEntry& entry, Envelope& envelope);

}  // namespace prov::queue
