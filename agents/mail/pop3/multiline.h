// A message as a multi-line response (RFC 1939 section 3): dot-stuffed, ended by `.`; for TOP cut after so
// many body lines. Pure; keeps no text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace prov::pop3 {

class Multiline {
 public:
  // Nothing: the whole message (RETR). Otherwise the header, the empty line and so many lines of the body.
  explicit Multiline(std::optional<uint64_t> body_lines) : body_lines_(body_lines) {}

  // `wire` has CRLF line ends, in pieces of any size. Appends to `out`; false once no more is wanted.
  bool Encode(std::string_view wire, std::string& out);

  // The end: a CRLF if the message has none at its end, and `.`.
  void Finish(std::string& out);

 private:
  void EndLine();

  const std::optional<uint64_t> body_lines_;
  uint64_t lines_sent_ = 0;  // of the body
  bool in_body_ = false;
  bool at_line_start_ = true;
  bool line_empty_ = true;
  bool complete_ = false;
};

}  // namespace prov::pop3
