#include "agents/mail/smtp/chunk_reader.h"

#include <algorithm>

namespace prov::smtp {

void ChunkReader::Begin(uint64_t octets, bool last) {
  octets_ = left_ = octets;
  last_ = last;
}

size_t ChunkReader::Read(std::string_view input, std::string& content) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(input.size(), left_));
  left_ -= taken;
  const size_t clean = content.size();
  if (fault_ == ContentFault::kNone) Take(input.substr(0, taken), content);
  if (left_ == 0 && last_ && fault_ == ContentFault::kNone) Finish(content);
  if (fault_ != ContentFault::kNone) content.resize(clean);
  return taken;
}

void ChunkReader::Take(std::string_view text, std::string& content) {
  while (!text.empty()) {
    if (after_cr_) {
      if (text.front() != '\n') {
        fault_ = ContentFault::kBareLineEnd;
        return;
      }
      after_cr_ = false;
      line_start_ = true;
      content += "\r\n";
      text.remove_prefix(1);
      continue;
    }
    const auto* stop =
        std::find_if(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
    const size_t plain = static_cast<size_t>(stop - text.begin());
    content.append(text.substr(0, plain));
    if (plain > 0) line_start_ = false;
    text.remove_prefix(plain);
    if (text.empty()) return;
    if (text.front() != '\r') {
      fault_ = text.front() == '\0' ? ContentFault::kNul : ContentFault::kBareLineEnd;
      return;
    }
    after_cr_ = true;
    text.remove_prefix(1);
  }
}

void ChunkReader::Finish(std::string& content) {
  if (after_cr_) fault_ = ContentFault::kBareLineEnd;
  if (!line_start_) content += "\r\n";
}

}  // namespace prov::smtp
