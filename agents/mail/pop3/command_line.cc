#include "agents/mail/pop3/command_line.h"

#include <string.h>

#include "agents/mail/auth/secret.h"

namespace prov::pop3 {

LineReader::~LineReader() { auth::Wipe(buffer_); }

void LineReader::Append(std::string_view octets) { buffer_ += octets; }

std::optional<LineReader::Line> LineReader::Next(size_t most) {
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos) {
    if (discarded_ > 0 || buffer_.size() >= most) {
      discarded_ += buffer_.size();
      auth::Wipe(buffer_);
    }
    return std::nullopt;
  }
  Line line;
  line.too_long = discarded_ > 0 || end + 1 > most;
  if (!line.too_long) {
    line.text = buffer_.substr(0, end);
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
  }
  discarded_ = 0;
  explicit_bzero(buffer_.data(), end + 1);
  buffer_.erase(0, end + 1);
  return line;
}

void LineReader::Clear() {
  auth::Wipe(buffer_);
  discarded_ = 0;
}

std::string LineReader::TakeRest() {
  std::string rest = std::move(buffer_);
  buffer_.clear();
  return rest;
}

CommandLine SplitCommand(std::string_view line) {
  const size_t space = line.find(' ');
  CommandLine command;
  for (const char c : line.substr(0, space)) {
    command.verb += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  if (space != std::string_view::npos) command.argument = line.substr(space + 1);
  return command;
}

}  // namespace prov::pop3
