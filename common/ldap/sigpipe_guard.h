// Holds SIGPIPE back in this thread: libldap writes to sockets without MSG_NOSIGNAL, and a program that
// loaded us (through PAM, say) must not die because a directory did.
#pragma once

#include <signal.h>

namespace prov::ldap {

class SigpipeGuard {
 public:
  SigpipeGuard();
  // Takes a SIGPIPE that came meanwhile with it; one that was pending before stays.
  ~SigpipeGuard();
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;

 private:
  bool was_pending_ = false;
  sigset_t before_;
};

}  // namespace prov::ldap
