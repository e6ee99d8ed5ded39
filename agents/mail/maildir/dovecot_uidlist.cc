#include "agents/mail/maildir/dovecot_uidlist.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "agents/mail/maildir/file_name.h"
#include "common/status.h"

namespace prov::maildir {
namespace {

constexpr size_t kMaxWidth = 64;

struct Message {
  uint64_t uid = 0, validity = 0;
  std::string_view base, guid, told;
};

std::string_view TakeWord(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(word.size() + 1, line.size()));
  return word;
}

std::optional<uint64_t> NumberOf(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "3 V1275660208 N25022 G3085f01b…": the UIDVALIDITY.
absl::StatusOr<uint64_t> ValidityOf(std::string_view header) {
  if (TakeWord(header) == "3") {
    while (!header.empty()) {
      const std::string_view word = TakeWord(header);
      const auto value = word.starts_with('V') ? NumberOf(word.substr(1)) : std::nullopt;
      if (value) return *value;
    }
  }
  return absl::InvalidArgumentError("is no dovecot-uidlist of version 3");
}

// "25006 W2481 P123 :1276528487.M364837P9451.host,S=1355:2,": UID, keys with values, and the file's name.
std::optional<Message> MessageOf(std::string_view line, uint64_t validity) {
  Message message{.validity = validity};
  const auto uid = NumberOf(TakeWord(line));
  if (!uid) return std::nullopt;
  message.uid = *uid;
  while (!line.empty() && line.front() != ':') {
    const std::string_view word = TakeWord(line);
    if (word.starts_with('P')) message.told = word.substr(1);
    if (word.starts_with('G')) message.guid = word.substr(1);
  }
  if (line.empty()) return std::nullopt;
  message.base = BaseOf(line.substr(1));
  if (message.guid.empty()) message.guid = message.base;
  return message;
}

// One variable of the format behind its `%`, which is taken off: "08Xu", "v", "f".
absl::StatusOr<std::string> TakeVariable(std::string_view& format, const Message& message) {
  const bool zeros = format.starts_with('0');
  const std::string_view digits = format.substr(0, format.find_first_not_of("0123456789"));
  format.remove_prefix(digits.size());
  const uint64_t width = NumberOf(digits).value_or(0);
  const bool hex = format.starts_with('X');
  if (hex) format.remove_prefix(1);
  const char letter = format.empty() ? '\0' : format.front();
  format.remove_prefix(std::min<size_t>(1, format.size()));
  std::string text;
  if (letter == 'u' || letter == 'v') {
    const uint64_t number = letter == 'u' ? message.uid : message.validity;
    text = hex ? fmt::format("{:x}", number) : fmt::format("{}", number);
  } else if (!hex && (letter == 'f' || letter == 'g')) {
    text = std::string(letter == 'f' ? message.base : message.guid);
  } else {
    return absl::InvalidArgumentError("the format may have %u, %v, %f and %g, and no other letters");
  }
  if (width > kMaxWidth) return absl::InvalidArgumentError("the format has a width of no sense");
  if (zeros && text.size() < width) text.insert(0, width - text.size(), '0');
  return text;
}

absl::StatusOr<std::string> Expand(std::string_view format, const Message& message) {
  std::string text;
  while (!format.empty()) {
    const char c = format.front();
    format.remove_prefix(1);
    if (c != '%') {
      text += c;
      continue;
    }
    PROV_ASSIGN_OR_RETURN(const std::string value, TakeVariable(format, message));
    text += value;
  }
  return text;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> DovecotUidls(std::string_view uidlist,
                                                                std::string_view format) {
  const size_t header = uidlist.find('\n');
  PROV_ASSIGN_OR_RETURN(const uint64_t validity, ValidityOf(uidlist.substr(0, header)));
  PROV_RETURN_IF_ERROR(Expand(format, {}).status());
  std::map<std::string, std::string> uidls;
  if (header == uidlist.npos) return uidls;
  uidlist.remove_prefix(header + 1);
  while (!uidlist.empty()) {
    const std::string_view line = uidlist.substr(0, uidlist.find('\n'));
    uidlist.remove_prefix(std::min(line.size() + 1, uidlist.size()));
    const auto message = MessageOf(line, validity);
    if (!message) continue;  // a line that Dovecot would pass over as well
    std::string uidl(message->told);
    if (uidl.empty()) {
      PROV_ASSIGN_OR_RETURN(uidl, Expand(format, *message));
    }
    uidls.insert_or_assign(std::string(message->base), std::move(uidl));
  }
  return uidls;
}

}  // namespace prov::maildir
