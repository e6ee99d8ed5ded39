#include "agents/mail/smtp/command.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/mail_address.h"
#include "common/status.h"

namespace prov::smtp {
namespace {

constexpr size_t kVerbOctets = 4;

// Takes `prefix` (upper case) from the front, in any case.
bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  if (FoldAddress(text.substr(0, prefix.size())) != FoldAddress(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view TrimFront(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  return first == text.npos ? std::string_view() : text.substr(first);
}

std::string_view TakeWord(std::string_view& text) {
  text = TrimFront(text);
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

// The path behind "FROM:" or "TO:"; a blank before '<' is a common mistake, and harmless.
std::optional<Path> TakePath(std::string_view& text, std::string_view prefix, const char* enhanced,
                             Reply* refusal) {
  if (!TakePrefix(text, prefix)) {
    *refusal = {501, "5.5.4", "the argument is " + std::string(prefix) + "<address>"};
    return std::nullopt;
  }
  text = TrimFront(text);
  auto path = ParsePath(text);
  if (!path.ok()) {
    *refusal = {501, enhanced, std::string(MessageOf(path.status()))};
    return std::nullopt;
  }
  if (!text.empty() && text.front() != ' ') {
    *refusal = {501, "5.5.4", "a blank stands before parameters"};
    return std::nullopt;
  }
  return *std::move(path);
}

bool ParseSize(std::string_view digits, uint64_t* size) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, *size);
  // RFC 1870 section 3: up to 20 digits. What does not fit is larger than any limit.
  if (error == std::errc::result_out_of_range && stop == end && digits.size() <= 20) *size = UINT64_MAX;
  return stop == end && !digits.empty() && (error == std::errc() || *size == UINT64_MAX);
}

}  // namespace

CommandLines::Line CommandLines::Next() {
  const size_t feed = buffer_.find('\n');
  if (feed == buffer_.npos) {
    if (buffer_.size() < kMaxCommandOctets) return {};
    std::string verb = buffer_.substr(0, kVerbOctets);
    buffer_.clear();
    if (std::exchange(skipping_, true)) return {};
    return {Kind::kTooLong, std::move(verb)};
  }
  Line line{Kind::kLine, buffer_.substr(0, feed)};
  buffer_.erase(0, feed + 1);
  if (skipping_) {
    skipping_ = false;
    return Next();
  }
  const bool bare = line.text.empty() || line.text.back() != '\r';
  if (bare || feed + 1 > kMaxCommandOctets)
    return {bare ? Kind::kBareLf : Kind::kTooLong, line.text.substr(0, kVerbOctets)};
  line.text.pop_back();
  return line;
}

std::optional<MailCommand> ParseMail(std::string_view argument, Reply* refusal) {
  MailCommand command;
  auto sender = TakePath(argument, "FROM:", "5.1.7", refusal);
  if (!sender) return std::nullopt;
  if (sender->source_route || sender->form == Path::Form::kPostmaster) {
    *refusal = {553, "5.1.7", "a sender is local-part@domain, without a route"};
    return std::nullopt;
  }
  command.sender = *std::move(sender);
  bool size_seen = false, body_seen = false;
  for (std::string_view word = TakeWord(argument); !word.empty(); word = TakeWord(argument)) {
    std::string_view value = word;
    if (TakePrefix(value, "SIZE=") && !size_seen && ParseSize(value, &command.size)) {
      size_seen = true;
    } else if (value = word; TakePrefix(value, "BODY=") && !body_seen) {
      const std::string body = FoldAddress(value);
      if (body != "7bit" && body != "8bitmime") {
        *refusal = {501, "5.5.4", "BODY is 7BIT or 8BITMIME"};
        return std::nullopt;
      }
      body_seen = true;
      command.eight_bit = body == "8bitmime";
    } else {
      *refusal = {555, "5.5.4", "unknown or malformed parameter"};
      return std::nullopt;
    }
  }
  return command;
}

std::optional<Path> ParseRecipient(std::string_view argument, Reply* refusal) {
  auto path = TakePath(argument, "TO:", "5.1.3", refusal);
  if (!path) return std::nullopt;
  if (path->form == Path::Form::kNull) {
    *refusal = {501, "5.1.3", "a recipient cannot be empty"};
    return std::nullopt;
  }
  if (!TrimFront(argument).empty()) {
    *refusal = {555, "5.5.4", "unknown parameter"};
    return std::nullopt;
  }
  return path;
}

std::optional<BdatCommand> ParseBdat(std::string_view argument) {
  BdatCommand command;
  const std::string_view digits = TakeWord(argument);
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), command.octets);
  if (digits.empty() || error != std::errc() || stop != digits.data() + digits.size()) return std::nullopt;
  const std::string_view word = TakeWord(argument);
  command.last = FoldAddress(word) == "last";
  if ((!word.empty() && !command.last) || !TrimFront(argument).empty()) return std::nullopt;
  return command;
}

bool IsHelloArgument(std::string_view argument) {
  if (argument.empty() || argument.size() > kMaxHelloOctets) return false;
  return std::all_of(argument.begin(), argument.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace prov::smtp
