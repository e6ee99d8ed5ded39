// A message as DATA carries it: dots stuffed (RFC 5321 section 4.5.2), and never a bare CR or LF, whatever
// lies in the store. Pure.
#pragma once

#include <string>
#include <string_view>

namespace prov::smtp {

class ContentEncoder {
 public:
  // Message text in pieces of any size; appends to `wire`.
  void Encode(std::string_view content, std::string& wire);
  // The end of data, after a CRLF if the message had none.
  void Finish(std::string& wire);

 private:
  bool line_start_ = true;
  bool after_cr_ = false;
};

}  // namespace prov::smtp
