// Threads beside a program that does not know of them.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace prov::ldap {

// Takes none of the program's signals: they are for its own threads. Throws std::system_error where no thread
// is to be had.
template <typename Work>
std::thread QuietThread(Work work) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
  return std::thread(std::move(work));
}

}  // namespace prov::ldap
