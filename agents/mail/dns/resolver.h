// Questions to the domain name system, without blocking the event loop.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agents/mail/dns/mail_exchangers.h"

namespace prov::dns {

// Of each server that is asked; asked again, one is waited for twice as long.
constexpr std::chrono::milliseconds kAnswerPatience{2500};
constexpr int kTries = 2;
constexpr size_t kMostServers = 3;  // as resolv.conf(5) has it
// Of one answer; more is cut off.
constexpr size_t kMostExchangers = 50;
constexpr size_t kMostAddresses = 16;  // of each family

// Names are given without the last dot; they are never completed with a search list. An answer without such
// records is OK and empty. Errors: NOT_FOUND, there is no such domain; INVALID_ARGUMENT, it cannot be a name;
// UNAVAILABLE, it cannot be said now. Works on one event loop; coroutines of any may ask.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // MX records, in no order.
  virtual asio::awaitable<absl::StatusOr<std::vector<MailExchanger>>> FindExchangers(std::string domain) = 0;
  // A and AAAA records.
  virtual asio::awaitable<absl::StatusOr<std::vector<asio::ip::address>>> FindAddresses(std::string host) = 0;
};

// `servers`: host:port with addresses; empty: those of the system. Questions under way when it is destroyed
// end in UNAVAILABLE, if the loop still runs.
absl::StatusOr<std::unique_ptr<Resolver>> MakeResolver(asio::any_io_executor executor,
                                                       const std::vector<std::string>& servers);

}  // namespace prov::dns
