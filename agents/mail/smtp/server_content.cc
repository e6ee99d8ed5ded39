// The text of a message, as DATA and BDAT bring it: ServerMachine's part.
#include <fmt/format.h>

#include "agents/mail/smtp/server_machine.h"

namespace prov::smtp {

// The message is refused at its end, and the rest of it goes nowhere.
void ServerMachine::RefuseContent(const Reply& reply) {
  content_refusal_ = reply;
  after_chunk_ = State::kReady;
  events_.push_back({.kind = Event::Kind::kReset});
}

size_t ServerMachine::ReadContent(std::string& text) {
  if (!chunked_) return reader_.Read(lines_.rest(), text);
  return chunks_.Read(lines_.rest(), text);
}

Event ServerMachine::NextContent() {
  // A chunk may be empty.
  if (lines_.rest().empty() && !(chunked_ && chunks_.chunk_ended())) return {Event::Kind::kNeedInput};
  Event content{.kind = Event::Kind::kContent};
  const size_t taken = ReadContent(content.text);
  lines_.Skip(taken);
  const bool text_ended = chunked_ ? chunks_.chunk_ended() && chunks_.last() : reader_.ended();
  if (content_refusal_.code != 0) {
    content.text.clear();
    excess_octets_ += taken;
    if (excess_octets_ > kMostExcessOctets) content_refusal_.close = true;
  } else {
    message_octets_ += content.text.size();
    scanner_.Feed(content.text);
    if (text_ended) scanner_.Finish();
    CheckContent();
  }
  if (content_refusal_.code != 0) content.text.clear();
  if (scanner_.ended() && !header_told_ && content_refusal_.code == 0) {
    header_told_ = true;
    events_.push_back({.kind = Event::Kind::kHeaderEnd});
  }
  if (chunked_ && (chunks_.chunk_ended() || content_refusal_.close)) {
    EndChunk();
  } else if (text_ended || content_refusal_.close) {
    EndContent();
  }
  return content;
}

void ServerMachine::CheckContent() {
  const size_t most_header_octets = kMaxHeaderOctets + (lmtp() ? kRelayHeaderOctets : 0);
  const int most_received = kMaxReceivedLines + (lmtp() ? kRelayReceivedLines : 0);
  const ContentFault fault = chunked_ ? chunks_.fault() : reader_.fault();
  if (fault == ContentFault::kBareLineEnd) {
    RefuseContent({554, "5.6.0", "the message has a CR or LF by itself"});
  } else if (fault == ContentFault::kNul) {
    RefuseContent({554, "5.6.0", "the message has a NUL"});
  } else if (message_octets_ > options_.max_message_octets) {
    RefuseContent({552, "5.3.4", "the message is too large"});
  } else if (scanner_.facts().octets > most_header_octets) {
    RefuseContent({552, "5.3.4", "the header is too large"});
  } else if (scanner_.facts().received >= most_received) {
    RefuseContent({554, "5.4.6", "the message goes in a circle: too many Received lines"});
  }
}

void ServerMachine::EndContent() {
  if (content_refusal_.code == 0) {
    events_.push_back({.kind = Event::Kind::kMessageEnd});
    return;
  }
  asked_ = Event::Kind::kMessageEnd;
  AnswerMessage(std::vector<Reply>(lmtp() ? recipients_ : 1, content_refusal_));
}

void ServerMachine::EndChunk() {
  if (content_refusal_.code == 0) {
    if (chunks_.last()) return EndContent();
    state_ = State::kChunks;
    return Say({250, "2.0.0", fmt::format("{} octets", chunks_.chunk_octets())});
  }
  if (chunks_.last() && recipients_ > 0) return EndContent();
  // More chunks may be on their way: without a transaction they are refused one by one.
  state_ = after_chunk_;
  recipients_ = 0;
  Error(content_refusal_);
}

}  // namespace prov::smtp
