// Command lines out of a stream of octets, with a limit on their length. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prov::pop3 {

// With the line end. RFC 2449 section 4 asks for 255; some clients send more.
constexpr size_t kMaxLineOctets = 512;
// Of one line that is too long: whoever sends more is no POP3 client.
constexpr size_t kMaxDiscardedOctets = 64 * 1024;

// A line is ended by LF, with or without CR before it. What has been handed out is wiped: it may be a
// password.
class LineReader {
 public:
  LineReader() = default;
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  struct Line {
    std::string text;  // without the line end
    bool too_long = false;
  };

  void Append(std::string_view octets);
  // Nothing: more octets are needed. A line of more than `most` octets, with its end, is too long.
  std::optional<Line> Next(size_t most = kMaxLineOctets);
  // A line without end; give up.
  bool IsHopeless() const { return discarded_ > kMaxDiscardedOctets; }
  // Nothing was appended that was not handed out.
  bool IsEmpty() const { return buffer_.empty() && discarded_ == 0; }
  // Forgets, and wipes, what was appended.
  void Clear();
  // What was appended and not handed out.
  std::string TakeRest();

 private:
  std::string buffer_;
  size_t discarded_ = 0;  // of the line that is too long; 0: none is
};

// "LIST 3" into verb and argument. The verb is in upper case.
struct CommandLine {
  std::string verb;
  std::string_view argument;  // after one space; as sent
};
CommandLine SplitCommand(std::string_view line);

}  // namespace prov::pop3
