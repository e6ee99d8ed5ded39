#include "agents/mail/smtp/content_encoder.h"

namespace prov::smtp {

void ContentEncoder::Encode(std::string_view content, std::string& wire) {
  wire.reserve(wire.size() + content.size() + content.size() / 32);
  for (const char c : content) {
    if (after_cr_) {
      after_cr_ = false;
      wire += "\r\n";
      line_start_ = true;
      if (c == '\n') continue;
    }
    if (c == '\r') {
      after_cr_ = true;
      continue;
    }
    if (c == '\n') {
      wire += "\r\n";
      line_start_ = true;
      continue;
    }
    if (line_start_ && c == '.') wire += '.';
    line_start_ = false;
    wire += c;
  }
}

void ContentEncoder::Finish(std::string& wire) {
  if (after_cr_ || !line_start_) wire += "\r\n";
  after_cr_ = false;
  line_start_ = true;
  wire += ".\r\n";
}

}  // namespace prov::smtp
