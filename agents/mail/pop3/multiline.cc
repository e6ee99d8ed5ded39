#include "agents/mail/pop3/multiline.h"

namespace prov::pop3 {

bool Multiline::Encode(std::string_view wire, std::string& out) {
  while (!wire.empty() && !complete_) {
    if (at_line_start_ && wire.front() == '.') out += '.';
    const size_t end = wire.find('\n');
    const std::string_view part = wire.substr(0, end == std::string_view::npos ? end : end + 1);
    out += part;
    wire.remove_prefix(part.size());
    line_empty_ = line_empty_ && part.find_first_not_of("\r\n") == std::string_view::npos;
    at_line_start_ = part.back() == '\n';
    if (at_line_start_) EndLine();
  }
  return !complete_;
}

void Multiline::EndLine() {
  if (in_body_) ++lines_sent_;
  if (line_empty_) in_body_ = true;
  line_empty_ = true;
  complete_ = in_body_ && body_lines_.has_value() && lines_sent_ >= *body_lines_;
}

void Multiline::Finish(std::string& out) {
  if (!at_line_start_) out += "\r\n";
  out += ".\r\n";
}

}  // namespace prov::pop3
