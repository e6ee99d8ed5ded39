// A DNS server that knows a few answers by heart (RFC 1035 section 4), on an event loop of the test.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "agents/mail/net/spawn.h"

namespace prov::dns {

using asio::ip::udp;

constexpr uint16_t kA = 1, kMx = 15, kAaaa = 28;
constexpr uint8_t kServerFailed = 2, kNoSuchName = 3;

inline std::string Number(uint16_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number & 0xff)};
}

inline std::string Name(std::string_view text) {
  std::string wire;
  while (!text.empty()) {
    const size_t dot = std::min(text.find('.'), text.size());
    wire += static_cast<char>(dot);
    wire += text.substr(0, dot);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return wire + '\0';
}

// What it was not told is no such name.
class TestDnsServer {
 public:
  explicit TestDnsServer(asio::io_context& loop) : socket_(loop, {asio::ip::make_address("127.0.0.1"), 0}) {
    net::Spawn(loop.get_executor(), "dns", Serve());
  }

  struct Records {
    uint8_t code = 0;
    std::vector<std::string> data;
  };

  void Set(std::string_view name, uint16_t type, Records records) {
    known_[Name(name) + Number(type)] = std::move(records);
  }
  std::string address() const { return fmt::format("127.0.0.1:{}", socket_.local_endpoint().port()); }

 private:
  asio::awaitable<void> Serve() {
    std::array<char, 1500> buffer;
    for (;;) {
      udp::endpoint client;
      std::error_code error;
      const size_t octets = co_await socket_.async_receive_from(
          asio::buffer(buffer), client, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      const std::string reply = Reply(std::string(buffer.data(), octets));
      socket_.send_to(asio::buffer(reply), client, 0, error);
    }
  }

  std::string Reply(const std::string& question) const {
    constexpr size_t kHeaderOctets = 12;
    const std::string asked = question.substr(kHeaderOctets);  // name, type, class
    const auto found = known_.find(asked.substr(0, asked.size() - 2));
    const Records records = found == known_.end() ? Records{kNoSuchName, {}} : found->second;
    std::string reply = question.substr(0, 2);
    reply += '\x85';
    reply += static_cast<char>(0x80 | records.code);
    reply += Number(1) + Number(static_cast<uint16_t>(records.data.size())) + Number(0) + Number(0) + asked;
    for (const std::string& data : records.data) {
      reply += Number(0xc00c) + asked.substr(asked.size() - 4) + Number(0) + Number(60) +
               Number(static_cast<uint16_t>(data.size())) + data;
    }
    return reply;
  }

  udp::socket socket_;
  std::map<std::string, Records> known_;  // by name and type
};

}  // namespace prov::dns
