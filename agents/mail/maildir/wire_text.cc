#include "agents/mail/maildir/wire_text.h"

#include "agents/mail/maildir/line_end.h"

namespace prov::maildir {
namespace {

constexpr size_t kOctetsPerLineEnd = 32;  // or more, in nearly all mail

}  // namespace

void WireText::Convert(std::string_view stored, std::string& wire) {
  wire.reserve(wire.size() + stored.size() + stored.size() / kOctetsPerLineEnd);
  while (!stored.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      wire += "\r\n";
      if (stored.front() == '\n') stored.remove_prefix(1);
      continue;
    }
    const size_t end = FindLineEnd(stored);
    wire += stored.substr(0, end);
    if (end == stored.size()) return;
    if (stored[end] == '\n') {
      wire += "\r\n";
    } else {
      after_cr_ = true;
    }
    stored.remove_prefix(end + 1);
  }
}

void WireText::Finish(std::string& wire) {
  if (after_cr_) wire += "\r\n";
  after_cr_ = false;
}

}  // namespace prov::maildir
