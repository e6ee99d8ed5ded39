// One answer of an SMTP or LMTP server (RFC 5321 section 4.2) with its enhanced status code (RFC 3463). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prov::smtp {

constexpr size_t kMaxReplyTextOctets = 400;  // RFC 5321 section 4.5.3.1.5: 512 with code and CRLF

struct Reply {
  int code = 0;          // 0: no reply
  std::string enhanced;  // "2.1.5"; empty where RFC 2034 section 4 wants none
  std::string text;      // one line
  bool close = false;    // the connection ends after it

  bool ok() const { return code / 100 == 2 || code / 100 == 3; }
  bool permanent() const { return code / 100 == 5; }
};

// One line with CRLF. Control characters and what is not ASCII become '?', and long text is cut: parts of it
// may come from the other side.
std::string FormatReply(const Reply& reply);

// "250-first", …, "250 last".
std::string FormatReply(int code, const std::vector<std::string>& lines);

// "550 5.1.1 no such user", without CRLF.
std::string ReplyText(const Reply& reply);

// The same characters made harmless.
std::string Printable(std::string_view text, size_t most_octets);

}  // namespace prov::smtp
