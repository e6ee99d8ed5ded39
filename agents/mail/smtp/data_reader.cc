#include "agents/mail/smtp/data_reader.h"

namespace prov::smtp {

void DataReader::Spoil(ContentFault fault, std::string& content) {
  if (fault_ == ContentFault::kNone) fault_ = fault;
  content.resize(clean_);
}

DataReader::State DataReader::Text(char c, std::string& content) {
  if (c == '\r') return State::kCr;
  if (c == '\n') Spoil(ContentFault::kBareLineEnd, content);
  if (c == '\0') Spoil(ContentFault::kNul, content);
  if (fault_ == ContentFault::kNone) content += c;
  return State::kText;
}

DataReader::State DataReader::Step(char c, std::string& content) {
  switch (state_) {
    case State::kLineStart:
      return c == '.' ? State::kDot : Text(c, content);
    case State::kDot:  // the dot is dropped whatever follows
      return c == '\r' ? State::kDotCr : Text(c, content);
    case State::kDotCr:
      if (c == '\n') return State::kEnd;
      Spoil(ContentFault::kBareLineEnd, content);
      return Text(c, content);
    case State::kText:
      return Text(c, content);
    case State::kCr:
      if (c == '\n') {
        if (fault_ == ContentFault::kNone) content += "\r\n";
        return State::kLineStart;
      }
      Spoil(ContentFault::kBareLineEnd, content);
      return Text(c, content);
    case State::kEnd:
      break;
  }
  return State::kEnd;
}

size_t DataReader::Read(std::string_view input, std::string& content) {
  clean_ = content.size();
  size_t taken = 0;
  while (taken < input.size() && state_ != State::kEnd) {
    if (state_ == State::kText && fault_ == ContentFault::kNone) {
      size_t plain = taken;
      while (plain < input.size() && input[plain] != '\r' && input[plain] != '\n' && input[plain] != '\0')
        ++plain;
      content.append(input, taken, plain - taken);
      taken = plain;
      if (taken == input.size()) break;
    }
    state_ = Step(input[taken++], content);
  }
  return taken;
}

}  // namespace prov::smtp
