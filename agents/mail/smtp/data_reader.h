// The text after DATA, until CRLF.CRLF and nothing else: RFC 5321 sections 4.1.1.4 and 4.5.2. Pure.
//
// A bare CR, a bare LF or a NUL anywhere spoils the message: it never ends it, and it is never passed on, so
// that no server behind us can read two messages where we read one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prov::smtp {

enum class ContentFault { kNone, kBareLineEnd, kNul };

class DataReader {
 public:
  // Reads `input` up to its end or the end of the message, and returns how many octets it took. What belongs
  // to the message, dots unstuffed, is appended to `content`; nothing more once a fault is found.
  size_t Read(std::string_view input, std::string& content);

  bool ended() const { return state_ == State::kEnd; }
  // The first one found.
  ContentFault fault() const { return fault_; }

 private:
  enum class State { kLineStart, kDot, kDotCr, kText, kCr, kEnd };

  State Step(char c, std::string& content);
  State Text(char c, std::string& content);
  void Spoil(ContentFault fault, std::string& content);

  State state_ = State::kLineStart;  // the CRLF of the DATA command counts
  ContentFault fault_ = ContentFault::kNone;
  size_t clean_ = 0;  // of `content`, what was there before this call
};

}  // namespace prov::smtp
