#include "agents/mail/smtp/reply.h"

#include <fmt/format.h>

namespace prov::smtp {

std::string Printable(std::string_view text, size_t most_octets) {
  std::string result(text.substr(0, most_octets));
  for (char& c : result) {
    if (c < ' ' || c > '~') c = '?';
  }
  return result;
}

std::string ReplyText(const Reply& reply) {
  const std::string text = Printable(reply.text, kMaxReplyTextOctets);
  if (reply.enhanced.empty()) return fmt::format("{} {}", reply.code, text);
  return fmt::format("{} {} {}", reply.code, reply.enhanced, text);
}

std::string FormatReply(const Reply& reply) { return ReplyText(reply) + "\r\n"; }

std::string FormatReply(int code, const std::vector<std::string>& lines) {
  std::string result;
  for (size_t i = 0; i < lines.size(); ++i) {
    result += fmt::format("{}{}{}\r\n", code, i + 1 < lines.size() ? '-' : ' ',
                          Printable(lines[i], kMaxReplyTextOctets));
  }
  return result;
}

}  // namespace prov::smtp
