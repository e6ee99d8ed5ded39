// Stored text (LF) into wire text (CRLF), in pieces of any size, with memory for none of it. Pure.
//
// Whatever lies in the store, no bare CR or LF goes out: a CR that no LF follows becomes CRLF.
#pragma once

#include <string>
#include <string_view>

namespace prov::maildir {

class WireText {
 public:
  // Appends to `wire`.
  void Convert(std::string_view stored, std::string& wire);
  // After the last piece.
  void Finish(std::string& wire);

 private:
  bool after_cr_ = false;
};

}  // namespace prov::maildir
