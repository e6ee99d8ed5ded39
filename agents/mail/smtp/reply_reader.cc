#include "agents/mail/smtp/reply_reader.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace prov::smtp {
namespace {

// Moves an enhanced code (RFC 2034) that agrees with the code from the text's front.
void SplitEnhanced(Reply& reply) {
  const size_t blank = std::min(reply.text.find(' '), reply.text.size());
  const std::string word = reply.text.substr(0, blank);
  const bool shape =
      word.size() >= 5 && word.size() <= 9 && std::count(word.begin(), word.end(), '.') == 2 &&
      std::all_of(word.begin(), word.end(), [](char c) { return c == '.' || std::isdigit(c); });
  if (!shape || word[0] != static_cast<char>('0' + reply.code / 100) || word[1] != '.') return;
  reply.enhanced = word;
  reply.text.erase(0, std::min(blank + 1, reply.text.size()));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<ReplyReader::Received> ReplyReader::Next() {
  while (!broken_) {
    const size_t feed = buffer_.find('\n');
    if (feed == buffer_.npos) {
      broken_ = buffer_.size() > kMaxReplyLineOctets;
      return std::nullopt;
    }
    std::string line = buffer_.substr(0, feed);
    buffer_.erase(0, feed + 1);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool shape = line.size() >= 3 && line.size() <= kMaxReplyLineOctets && line[0] >= '2' &&
                       line[0] <= '5' && IsDigit(line[1]) && IsDigit(line[2]) &&
                       (line.size() == 3 || line[3] == ' ' || line[3] == '-');
    const int code = shape ? (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0') : 0;
    if (!shape || pending_.lines.size() >= kMaxReplyLines ||
        (!pending_.lines.empty() && pending_.reply.code != code)) {
      broken_ = true;
      return std::nullopt;
    }
    pending_.reply.code = code;
    pending_.lines.push_back(line.size() > 4 ? line.substr(4) : "");
    if (line.size() > 3 && line[3] == '-') continue;
    Received received = std::exchange(pending_, {});
    received.reply.text = received.lines.back();
    SplitEnhanced(received.reply);
    return received;
  }
  return std::nullopt;
}

}  // namespace prov::smtp
