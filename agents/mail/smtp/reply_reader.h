// Replies of another server, which may be anything: RFC 5321 section 4.2. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/smtp/reply.h"

namespace prov::smtp {

constexpr size_t kMaxReplyLineOctets = 4096;  // RFC 5321 section 4.5.3.1.5 says 512
constexpr size_t kMaxReplyLines = 200;

class ReplyReader {
 public:
  struct Received {
    Reply reply;                     // of several lines, the text of the last
    std::vector<std::string> lines;  // texts, without code
  };

  void Append(std::string_view octets) { buffer_ += octets; }
  // The next whole reply. Nothing: more input is needed, or broken() says that this is no SMTP.
  std::optional<Received> Next();
  bool broken() const { return broken_; }
  // Nothing came that Next has not returned.
  bool empty() const { return buffer_.empty() && pending_.lines.empty(); }

 private:
  std::string buffer_;
  Received pending_;
  bool broken_ = false;
};

}  // namespace prov::smtp
