#include "cli/interrupt_notice.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace prov::cli {
namespace {

// A signal handler may not allocate: the text waits here.
char notice[1000];
size_t notice_octets = 0;

// Only calls that signal-safety(7) allows. The default action follows when the handler returns, so that the
// shell sees a program that was interrupted.
void Tell(int signal_number) {
  if (write(STDERR_FILENO, notice, notice_octets) < 0) {
    // Nobody is there to be told.
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

InterruptNotice::InterruptNotice(std::string_view text) {
  notice_octets = std::min(text.size(), sizeof notice);
  std::copy_n(text.begin(), notice_octets, notice);
  struct sigaction action {};
  action.sa_handler = Tell;
  sigaction(SIGINT, &action, &before_int_);
  sigaction(SIGTERM, &action, &before_term_);
}

InterruptNotice::~InterruptNotice() {
  sigaction(SIGINT, &before_int_, nullptr);
  sigaction(SIGTERM, &before_term_, nullptr);
}

}  // namespace prov::cli
