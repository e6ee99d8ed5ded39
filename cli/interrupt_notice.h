// What a person who presses Ctrl-C is told.
#pragma once

#include <csignal>
#include <string_view>

namespace prov::cli {

// While it lives, SIGINT and SIGTERM print `text` on standard error before they end the program. One at a
// time; from the main thread. `text` is cut at 1000 octets.
class InterruptNotice {
 public:
  explicit InterruptNotice(std::string_view text);
  ~InterruptNotice();
  InterruptNotice(const InterruptNotice&) = delete;
  InterruptNotice& operator=(const InterruptNotice&) = delete;

 private:
  struct sigaction before_int_ {};
  struct sigaction before_term_ {};
};

}  // namespace prov::cli
