#include "agents/mail/smtp/header_scanner.h"

#include <algorithm>

#include "common/mail_address.h"

namespace prov::smtp {
namespace {

// The name of a field (RFC 5322 section 2.2) in lower case; empty when the line is none.
std::string FieldName(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == line.npos) return "";
  std::string_view name = line.substr(0, colon);
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
  return printable ? FoldAddress(name) : "";
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

void HeaderScanner::EndField() {
  const std::string name = FieldName(field_);
  if (name == "received") {
    if (facts_.received++ == 0) facts_.first_received = field_;
  } else if (name == "delivered-to") {
    const std::string_view value = Trim(std::string_view(field_).substr(field_.find(':') + 1));
    if (facts_.delivered_to.size() < kMaxNotedDeliveries) facts_.delivered_to.push_back(FoldAddress(value));
  } else if (name == "date") {
    facts_.has_date = true;
  } else if (name == "from") {
    facts_.has_from = true;
  } else if (name == "message-id") {
    facts_.has_message_id = true;
  }
  field_.clear();
}

void HeaderScanner::Line(std::string_view line) {
  const bool continued = !line.empty() && (line.front() == ' ' || line.front() == '\t') && !field_.empty();
  if (continued) {
    if (field_.size() + line.size() <= kMaxNotedLineOctets * 4) field_ += line;
    facts_.octets += line_octets_;
    return;
  }
  EndField();
  if (FieldName(line).empty()) {
    ended_ = true;
    if (line.empty()) facts_.octets += line_octets_;
    return;
  }
  facts_.octets += line_octets_;
  field_ = std::string(line);
}

void HeaderScanner::Feed(std::string_view content) {
  while (!ended_ && !content.empty()) {
    const size_t feed = content.find('\n');
    const std::string_view part = content.substr(0, feed);
    if (line_.size() < kMaxNotedLineOctets) line_ += part.substr(0, kMaxNotedLineOctets - line_.size());
    line_octets_ += part.size();
    if (feed == content.npos) {
      // A field that never ends is as long as it is.
      if (line_octets_ > kMaxHeaderOctets) facts_.octets = std::max(facts_.octets, line_octets_);
      return;
    }
    ++line_octets_;
    content.remove_prefix(feed + 1);
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    Line(line_);
    line_.clear();
    line_octets_ = 0;
  }
}

void HeaderScanner::Finish() {
  if (!ended_) EndField();
  ended_ = true;
}

}  // namespace prov::smtp
