// Words for scripts of back ends (TestServer) up to the password.
#pragma once

#include <string>

#include "agents/mail/pop3/testing/pop3_client.h"

namespace prov::pop3 {

// Greets, has no capabilities, and returns the line with USER, which is not answered yet.
inline std::string UpToUser(TestStream& peer) {
  peer.Send("+OK ready\r\n");
  std::string line = peer.Line();
  if (line == "CAPA\r\n") {
    peer.Send("-ERR what?\r\n");
    line = peer.Line();
  }
  return line;
}

// Likewise, and returns the line with PASS.
inline std::string UpToPass(TestStream& peer) {
  if (UpToUser(peer).empty()) return {};
  peer.Send("+OK\r\n");
  return peer.Line();
}

}  // namespace prov::pop3
