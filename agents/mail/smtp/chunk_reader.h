// The text of BDAT chunks: RFC 3030 section 2. Pure.
//
// No dot ends it, its length does. Lines end in CRLF as after DATA, for BINARYMIME is not offered: a bare CR,
// a bare LF or a NUL spoils the message and is never passed on (data_reader.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agents/mail/smtp/data_reader.h"

namespace prov::smtp {

// One for each message.
class ChunkReader {
 public:
  // A chunk of so many octets follows; the one before has ended.
  void Begin(uint64_t octets, bool last);

  // Reads `input` up to its end or the end of the chunk, and returns how many octets it took. What belongs to
  // the message is appended to `content`, nothing more once a fault is found; with the end of the last chunk
  // the line end that a message ends with, if it lacks one.
  size_t Read(std::string_view input, std::string& content);

  bool chunk_ended() const { return left_ == 0; }
  bool last() const { return last_; }
  uint64_t chunk_octets() const { return octets_; }
  // The first one found.
  ContentFault fault() const { return fault_; }

 private:
  void Take(std::string_view text, std::string& content);
  void Finish(std::string& content);

  uint64_t octets_ = 0, left_ = 0;
  bool last_ = false;
  bool after_cr_ = false;  // which is held back: the line end may be cut in two by a chunk's end
  bool line_start_ = true;
  ContentFault fault_ = ContentFault::kNone;
};

}  // namespace prov::smtp
