#include "agents/mail/smtp/command.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "agents/mail/queue/xtext.h"
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

// What may stand in a field of a notification.
bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool ParseSize(std::string_view digits, uint64_t* size) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, *size);
  // RFC 1870 section 3: up to 20 digits. What does not fit is larger than any limit.
  if (error == std::errc::result_out_of_range && stop == end && digits.size() <= 20) *size = UINT64_MAX;
  return stop == end && !digits.empty() && (error == std::errc() || *size == UINT64_MAX);
}

template <typename Number>
bool ParseWhole(std::string_view digits, Number* number) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, *number);
  return !digits.empty() && error == std::errc() && stop == end;
}

struct Parameter {
  std::string name;  // lower case
  bool has_value = false;
  std::string_view value;
};

Parameter ParameterOf(std::string_view word) {
  const size_t equals = word.find('=');
  if (equals == word.npos) return {FoldAddress(word), false, {}};
  return {FoldAddress(word.substr(0, equals)), true, word.substr(equals + 1)};
}

bool SetReturn(std::string_view value, MailCommand& command) {
  const std::string folded = FoldAddress(value);
  command.returned = folded == "full" ? queue::Return::kFull : queue::Return::kHeaders;
  return folded == "full" || folded == "hdrs";
}

bool SetEnvelopeId(std::string_view value, MailCommand& command) {
  const auto decoded = queue::DecodeXtext(value);
  command.envelope_id = std::string(value);
  return !value.empty() && value.size() <= queue::kMaxEnvelopeIdOctets && decoded && IsPrintable(*decoded);
}

// False: it is not known here, or `*refusal` says what is wrong with it.
bool SetMailParameter(const Parameter& parameter, const Parameters& takes, MailCommand& command,
                      Reply* refusal) {
  if (parameter.name == "smtputf8") {
    command.utf8 = true;
    return !parameter.has_value;
  }
  if (!parameter.has_value) return false;
  if (parameter.name == "size") return ParseSize(parameter.value, &command.size);
  if (parameter.name == "body") {
    const std::string body = FoldAddress(parameter.value);
    command.eight_bit = body == "8bitmime";
    if (command.eight_bit || body == "7bit") return true;
    *refusal = {501, "5.5.4", "BODY is 7BIT or 8BITMIME"};
    return false;
  }
  // Whom the client vouches for: we go by the login (RFC 4954 section 5 allows it).
  if (parameter.name == "auth") return takes.auth && queue::DecodeXtext(parameter.value);
  if (parameter.name == "ret") return SetReturn(parameter.value, command);
  return parameter.name == "envid" && SetEnvelopeId(parameter.value, command);
}

bool SetRecipientParameter(const Parameter& parameter, RecipientCommand& command) {
  if (!parameter.has_value) return false;
  if (parameter.name == "notify") {
    const auto notify = queue::ParseNotify(parameter.value);
    command.notify = notify.value_or(queue::Notify());
    return notify.has_value();
  }
  if (parameter.name != "orcpt" || parameter.value.size() > queue::kMaxOriginalOctets) return false;
  // "rfc822;" or "utf-8;" (RFC 6533 section 3), or a type that nobody here knows.
  const size_t semicolon = parameter.value.find(';');
  if (semicolon == parameter.value.npos || semicolon == 0) return false;
  const auto decoded = queue::DecodeXtext(parameter.value.substr(semicolon + 1));
  command.original = std::string(parameter.value);
  return decoded && !decoded->empty() && IsPrintable(*decoded) &&
         IsPrintable(parameter.value.substr(0, semicolon));
}

// "192.0.2.1" or "IPV6:2001:db8::1".
bool SetClientAddress(std::string_view text, XclientCommand& command) {
  std::string_view rest = text;
  const bool v6 = TakePrefix(rest, "IPV6:");
  command.address = std::string(rest);
  in6_addr parsed{};
  return inet_pton(v6 ? AF_INET6 : AF_INET, command.address->c_str(), &parsed) == 1;
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

std::optional<MailCommand> ParseMail(std::string_view argument, const Parameters& takes, Reply* refusal) {
  MailCommand command;
  auto sender = TakePath(argument, "FROM:", "5.1.7", refusal);
  if (!sender) return std::nullopt;
  if (sender->source_route || sender->form == Path::Form::kPostmaster) {
    *refusal = {553, "5.1.7", "a sender is local-part@domain, without a route"};
    return std::nullopt;
  }
  command.sender = *std::move(sender);
  std::set<std::string> seen;
  for (std::string_view word = TakeWord(argument); !word.empty(); word = TakeWord(argument)) {
    const Parameter parameter = ParameterOf(word);
    if (!seen.insert(parameter.name).second || !SetMailParameter(parameter, takes, command, refusal)) {
      if (refusal->code == 0) *refusal = {555, "5.5.4", "unknown or malformed parameter"};
      return std::nullopt;
    }
  }
  if (command.sender.utf8 && !command.utf8) {
    *refusal = {553, "5.6.7", "an address beyond ASCII needs SMTPUTF8"};
    return std::nullopt;
  }
  return command;
}

std::optional<RecipientCommand> ParseRecipient(std::string_view argument, const Parameters& takes,
                                               Reply* refusal) {
  auto path = TakePath(argument, "TO:", "5.1.3", refusal);
  if (!path) return std::nullopt;
  if (path->form == Path::Form::kNull) {
    *refusal = {501, "5.1.3", "a recipient cannot be empty"};
    return std::nullopt;
  }
  RecipientCommand command{*std::move(path), {}};
  std::set<std::string> seen;
  for (std::string_view word = TakeWord(argument); !word.empty(); word = TakeWord(argument)) {
    const Parameter parameter = ParameterOf(word);
    if (!seen.insert(parameter.name).second || !SetRecipientParameter(parameter, command)) {
      *refusal = {555, "5.5.4", "unknown or malformed parameter"};
      return std::nullopt;
    }
  }
  if (command.path.utf8 && !takes.utf8) {
    *refusal = {553, "5.6.7", "an address beyond ASCII needs SMTPUTF8"};
    return std::nullopt;
  }
  return command;
}

std::optional<XclientCommand> ParseXclient(std::string_view argument, Reply* refusal) {
  XclientCommand command{};
  *refusal = {501, "5.5.4", "the argument is NAME=value …, in xtext"};
  for (std::string_view word = TakeWord(argument); !word.empty(); word = TakeWord(argument)) {
    const Parameter parameter = ParameterOf(word);
    const auto value = queue::DecodeXtext(parameter.value);
    if (!parameter.has_value || !value) return std::nullopt;
    if (*value == "[UNAVAILABLE]" || *value == "[TEMPUNAVAIL]") {
      if (parameter.name == "addr") command.address = "";
      continue;
    }
    if (parameter.name == "addr" && !SetClientAddress(*value, command)) return std::nullopt;
    if (parameter.name == "port" && !ParseWhole(*value, &command.port)) return std::nullopt;
    if (parameter.name == "helo") {
      if (!IsHelloArgument(*value)) return std::nullopt;
      command.hello = *value;
    }
  }
  *refusal = {};
  return command;
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
  return std::all_of(argument.begin(), argument.end(), [](unsigned char c) { return c > ' ' && c != 0x7f; });
}

}  // namespace prov::smtp
