// Which hosts take a domain's mail, from its MX records (RFC 5321 section 5.1, RFC 7505). Pure.
#pragma once

#include <asio/ip/address.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace prov::dns {

struct MailExchanger {
  uint16_t preference = 0;
  std::string host;  // lower case, without the last dot; empty: the root, which means "no mail" (RFC 7505)
};

struct ExchangerOrder {
  std::vector<std::string> hosts;  // in the order to try
  std::string refusal;             // not empty: mail to the domain fails for good; "556 5.1.10 …"
};

// The hosts by preference, those of one preference shuffled. No record stands for the domain itself (implicit
// MX). Where `us` is among them, hosts of its preference and worse are left out, for mail would come back;
// when nobody is left, it loops.
ExchangerOrder OrderExchangers(std::vector<MailExchanger> exchangers, std::string_view domain,
                               std::string_view us, std::mt19937& random);

// By turns of either family, beginning with IPv6 (RFC 8305 section 4), `most` at most: one family that does
// not get through does not use up all attempts.
std::vector<asio::ip::address> AlternateFamilies(const std::vector<asio::ip::address>& addresses,
                                                 size_t most);

}  // namespace prov::dns
