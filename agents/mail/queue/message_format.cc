#include "agents/mail/queue/message_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "common/mail_address.h"
#include "common/status.h"

namespace prov::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kFirstLine = "prov-queue 1";
constexpr size_t kLengthDigits = 20;
constexpr size_t kMaxIdOctets = 64;

int64_t Milliseconds(Time time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view digits) {
  Number value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// Nothing for what the clock cannot say, the year 2262 and later.
std::optional<Time> ParseTime(std::string_view digits) {
  const auto value = ParseNumber<int64_t>(digits);
  constexpr auto kLast = std::chrono::duration_cast<milliseconds>(Time::max().time_since_epoch()).count();
  if (!value || *value < 0 || *value > kLast) return std::nullopt;
  return Time(milliseconds(*value));
}

std::string_view TakeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

std::optional<std::string> Bracketed(std::string_view value) {
  if (value.size() < 2 || value.front() != '<' || value.back() != '>') return std::nullopt;
  return std::string(value.substr(1, value.size() - 2));
}

// A line may not be forged by what others said.
std::string OneLine(std::string_view text, size_t most_octets = std::string_view::npos) {
  std::string result(text.substr(0, most_octets));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return result;
}

absl::Status NotOurs(std::string_view what) {
  return absl::DataLossError(fmt::format("not a queue file: {}", what));
}

// Of what RFC 3461 adds, behind the recipient that it is about.
bool SetRecipientField(std::string_view key, std::string_view value, Envelope& envelope) {
  if (envelope.recipients.empty()) return false;
  Recipient& recipient = envelope.recipients.back();
  if (key == "orcpt") {
    recipient.original = std::string(value);
    return true;
  }
  const auto notify = ParseNotify(value);
  recipient.notify = notify.value_or(Notify());
  return notify.has_value();
}

bool SetField(std::string_view key, std::string_view value, StoredMessage& message) {
  Envelope& envelope = message.envelope;
  if (key == "id") {
    envelope.id = std::string(value);
    return IsMessageId(value);
  }
  if (key == "trace") {
    envelope.trace = std::string(value);
    return true;
  }
  if (key == "client") {
    envelope.client = std::string(value);
    return true;
  }
  if (key == "body") {
    envelope.eight_bit = value == "8bit";
    return envelope.eight_bit || value == "7bit";
  }
  if (key == "received") {
    const auto time = ParseTime(value);
    if (time) envelope.received = *time;
    return time.has_value();
  }
  if (key == "content") {
    const auto octets = ParseNumber<uint64_t>(value);
    message.content_octets = octets.value_or(0);
    return octets.has_value() && value.size() == kLengthDigits;
  }
  if (key == "smtputf8") {
    envelope.utf8 = true;
    return value == "yes";
  }
  if (key == "ret") {
    envelope.returned = value == "full" ? Return::kFull : Return::kHeaders;
    return value == "full" || value == "hdrs";
  }
  if (key == "envid") {
    envelope.envelope_id = std::string(value);
    return true;
  }
  if (key == "notify" || key == "orcpt") return SetRecipientField(key, value, envelope);
  auto address = Bracketed(value);
  if (!address) return false;
  if (key == "sender") {
    envelope.sender = *std::move(address);
    return true;
  }
  if (key != "recipient" || envelope.recipients.size() == kMaxRecipients) return false;
  envelope.recipients.push_back({*std::move(address)});
  return true;
}

std::optional<std::vector<size_t>> ParseIndices(std::string_view list, size_t count) {
  std::vector<size_t> indices;
  while (!list.empty()) {
    const std::string_view digits = list.substr(0, list.find(','));
    const auto index = ParseNumber<size_t>(digits);
    if (!index || *index >= count) return std::nullopt;
    indices.push_back(*index);
    list.remove_prefix(std::min(list.size(), digits.size() + 1));
  }
  return indices;
}

// Whether it is held from here on; nothing: another kind of line.
std::optional<bool> ParseHold(std::string_view line) {
  const std::string_view word = TakeWord(line);
  if ((word != "hold" && word != "release") || !ParseNumber<int64_t>(line)) return std::nullopt;
  return word == "hold";
}

std::optional<JournalEntry> ParseEntry(std::string_view line, size_t recipients) {
  JournalEntry entry;
  const std::string_view word = TakeWord(line);
  if (word == "done") {
    entry.state = State::kDelivered;
  } else if (word == "fail") {
    entry.state = State::kFailed;
  } else if (word == "told") {
    entry.told_of_delay = true;
  } else if (word != "defer") {
    return std::nullopt;
  }
  const auto time = ParseTime(TakeWord(line));
  if (!time) return std::nullopt;
  entry.time = *time;
  if (entry.state == State::kPending && !entry.told_of_delay) {
    const auto due = ParseTime(TakeWord(line));
    if (!due) return std::nullopt;
    entry.due = *due;
  }
  auto indices = ParseIndices(TakeWord(line), recipients);
  if (!indices) return std::nullopt;
  entry.recipients = *std::move(indices);
  entry.reason = std::string(line);
  return entry;
}

}  // namespace

bool IsMessageId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdOctets && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
}

std::string FormatNotify(const Notify& notify) {
  if (!notify.said) return "";
  std::vector<std::string_view> words;
  if (notify.success) words.push_back("success");
  if (notify.failure) words.push_back("failure");
  if (notify.delay) words.push_back("delay");
  return words.empty() ? "never" : fmt::format("{}", fmt::join(words, ","));
}

std::optional<Notify> ParseNotify(std::string_view text) {
  const std::string folded = FoldAddress(text);
  Notify notify{.said = true};
  if (folded == "never") return notify;
  for (std::string_view left = folded;;) {
    const std::string_view word = left.substr(0, left.find(','));
    bool* flag = word == "success"   ? &notify.success
                 : word == "failure" ? &notify.failure
                 : word == "delay"   ? &notify.delay
                                     : nullptr;
    if (flag == nullptr || std::exchange(*flag, true)) return std::nullopt;
    if (word.size() == left.size()) return notify;
    left.remove_prefix(word.size() + 1);
  }
}

std::string FormatLength(uint64_t octets) { return fmt::format("{:020}", octets); }

std::string FormatEnvelope(const Envelope& envelope, uint64_t content_octets) {
  std::string head = fmt::format("{}\nid {}\ntrace {}\nreceived {}\nclient {}\nbody {}\n", kFirstLine,
                                 envelope.id, OneLine(envelope.trace), Milliseconds(envelope.received),
                                 OneLine(envelope.client), envelope.eight_bit ? "8bit" : "7bit");
  if (envelope.utf8) head += "smtputf8 yes\n";
  if (envelope.returned != Return::kUnsaid)
    head += fmt::format("ret {}\n", envelope.returned == Return::kFull ? "full" : "hdrs");
  if (!envelope.envelope_id.empty()) head += fmt::format("envid {}\n", OneLine(envelope.envelope_id));
  head += fmt::format("sender <{}>\n", OneLine(envelope.sender));
  for (const Recipient& recipient : envelope.recipients) {
    head += fmt::format("recipient <{}>\n", OneLine(recipient.address));
    if (recipient.notify.said) head += fmt::format("notify {}\n", FormatNotify(recipient.notify));
    if (!recipient.original.empty()) head += fmt::format("orcpt {}\n", OneLine(recipient.original));
  }
  head += fmt::format("content {}\n\n", FormatLength(content_octets));
  return head;
}

size_t ContentLengthOffset(const std::string& formatted) { return formatted.size() - 2 - kLengthDigits; }

std::string FormatEnd(std::string_view id) { return fmt::format("end {}\n", id); }

std::string FormatEntry(const JournalEntry& entry) {
  const std::string indices = fmt::format("{}", fmt::join(entry.recipients, ","));
  const std::string reason = OneLine(entry.reason, kMaxReasonOctets);
  if (entry.told_of_delay) return fmt::format("told {} {}\n", Milliseconds(entry.time), indices);
  if (entry.state == State::kPending) {
    return fmt::format("defer {} {} {} {}\n", Milliseconds(entry.time), Milliseconds(entry.due), indices,
                       reason);
  }
  return fmt::format("{} {} {} {}\n", entry.state == State::kDelivered ? "done" : "fail",
                     Milliseconds(entry.time), indices, reason);
}

std::string FormatHold(Time time, bool held) {
  return fmt::format("{} {}\n", held ? "hold" : "release", Milliseconds(time));
}

absl::StatusOr<StoredMessage> ParseEnvelope(std::string_view head) {
  const size_t end = head.find("\n\n");
  if (end == head.npos) return NotOurs("the envelope does not end");
  StoredMessage message;
  message.content_offset = end + 2;
  std::string_view lines = head.substr(0, end);
  bool first = true;
  while (!lines.empty()) {
    std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    if (std::exchange(first, false)) {
      if (line != kFirstLine) return NotOurs("another first line");
      continue;
    }
    const std::string_view key = TakeWord(line);
    if (!SetField(key, line, message)) return NotOurs(fmt::format("bad {}", key));
  }
  if (message.envelope.id.empty() || message.envelope.recipients.empty())
    return NotOurs("fields are missing");
  for (Recipient& recipient : message.envelope.recipients) recipient.due = message.envelope.received;
  return message;
}

absl::Status ApplyTail(std::string_view tail, StoredMessage& message) {
  const std::string mark = FormatEnd(message.envelope.id);
  if (!tail.starts_with(mark)) return absl::DataLossError("the message is not whole");
  size_t good = mark.size();
  for (size_t feed = tail.find('\n', good); feed != tail.npos; feed = tail.find('\n', good)) {
    const std::string_view line = tail.substr(good, feed - good);
    if (const auto held = ParseHold(line)) {
      message.held = *held;
    } else {
      const auto entry = ParseEntry(line, message.envelope.recipients.size());
      if (!entry) break;
      ApplyEntry(*entry, message.envelope);
    }
    good = feed + 1;
  }
  message.good_octets = message.content_offset + message.content_octets + good;
  return absl::OkStatus();
}

void ApplyEntry(const JournalEntry& entry, Envelope& envelope) {
  for (const size_t index : entry.recipients) {
    Recipient& recipient = envelope.recipients[index];
    if (entry.told_of_delay) {
      recipient.told_of_delay = true;
      continue;
    }
    recipient.reason = entry.reason;
    recipient.state = entry.state;
    if (entry.state == State::kPending) {
      ++recipient.attempts;
      recipient.due = entry.due;
    }
  }
}

}  // namespace prov::queue
