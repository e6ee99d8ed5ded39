// A c-ares channel on an Asio event loop: c-ares has the sockets, the loop watches them.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::dns {

// Belongs to one event loop and is used on its thread alone. Destroyed with questions under way, it answers
// them with ARES_EDESTRUCTION.
class AresChannel {
 public:
  struct Answer {
    int status = 0;       // ARES_SUCCESS, ARES_ENOTFOUND, …; see ares_query(3)
    std::string message;  // as it came, where there is one
  };

  // `servers`: host:port, addresses; empty: the system's. INVALID_ARGUMENT says what is wrong.
  static absl::StatusOr<std::unique_ptr<AresChannel>> Open(asio::any_io_executor executor,
                                                           const std::vector<std::string>& servers);
  ~AresChannel();
  AresChannel(const AresChannel&) = delete;
  AresChannel& operator=(const AresChannel&) = delete;

  // Records of class IN and `type` (RFC 1035 section 3.2.2) of `name`.
  asio::awaitable<Answer> Ask(std::string name, int type);

 private:
  class Loop;
  explicit AresChannel(std::shared_ptr<Loop> loop);
  const std::shared_ptr<Loop> loop_;
};

}  // namespace prov::dns
