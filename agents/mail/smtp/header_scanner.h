// Watches a message go by, and notes what delivery needs to know of its header. Pure; keeps little.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prov::smtp {

constexpr size_t kMaxHeaderOctets = 100 * 1024;
constexpr int kMaxReceivedLines =
    50;  // more is a loop, RFC 5321 section 6.3 (which says 100 at least is kind)
constexpr size_t kMaxNotedDeliveries = 100;
constexpr size_t kMaxNotedLineOctets = 998;  // of a header line, RFC 5322 section 2.1.1

struct HeaderFacts {
  size_t octets = 0;                      // of the header with its line ends
  int received = 0;                       // Received fields
  std::string first_received;             // the newest, unfolded
  std::vector<std::string> delivered_to;  // values, folded to lower case
  bool has_date = false, has_from = false, has_message_id = false;
};

class HeaderScanner {
 public:
  // Message text with CRLF line ends, in pieces of any size. The header ends with an empty line, or with the
  // first line that is no field.
  void Feed(std::string_view content);
  // After the last piece.
  void Finish();

  bool ended() const { return ended_; }
  const HeaderFacts& facts() const { return facts_; }

 private:
  void Line(std::string_view line);
  void EndField();

  bool ended_ = false;
  std::string line_;
  size_t line_octets_ = 0;
  std::string field_;
  HeaderFacts facts_;
};

}  // namespace prov::smtp
