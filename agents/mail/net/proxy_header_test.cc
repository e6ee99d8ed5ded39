#include "agents/mail/net/proxy_header.h"

#include <gtest/gtest.h>

#include <string>

namespace prov::net {
namespace {

const std::string kV2 = std::string("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kAddresses4("\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x00\x19", 12);

std::string V2(const std::string& rest) { return kV2 + rest; }

// What is read of it however it is cut; "" for nobody, "more" for an unfinished one, "no" for none.
std::string ClientOf(const std::string& input) {
  for (size_t cut = 0; cut < input.size(); ++cut) {
    const auto part = ParseProxyHeader(std::string_view(input).substr(0, cut));
    if (!part.ok()) return "no";
    if (*part) return (*part)->client ? (*part)->client->address : "";
  }
  const auto header = ParseProxyHeader(input);
  if (!header.ok()) return "no";
  if (!*header) return "more";
  EXPECT_EQ((*header)->octets, input.size());
  return (*header)->client ? (*header)->client->address : "";
}

TEST(ProxyHeader, NamesTheClientInBothVersions) {
  EXPECT_EQ(ClientOf("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n"), "192.0.2.1");
  EXPECT_EQ(ClientOf("PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n"), "2001:db8::1");
  EXPECT_EQ(ClientOf(V2(std::string("\x21\x11\x00\x0c", 4) + kAddresses4)), "192.0.2.1");
  const std::string v6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x01";
  EXPECT_EQ(ClientOf(V2(std::string("\x21\x21\x00\x24", 4) + v6 + v6 + std::string("\xdc\x04\x00\x19", 4))),
            "2001:db8::1");
  // More may be told behind the addresses (section 2.2.7).
  EXPECT_EQ(ClientOf(V2(std::string("\x21\x11\x00\x10", 4) + kAddresses4 + "tlvs")), "192.0.2.1");
  const auto header = ParseProxyHeader("PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO x\r\n");
  EXPECT_EQ((*header)->client->port, 56324);
  EXPECT_EQ((*header)->octets, 44u) << "what follows is the client's";
}

TEST(ProxyHeader, ABalancersOwnConnectionHasNoClient) {
  EXPECT_EQ(ClientOf("PROXY UNKNOWN\r\n"), "");
  EXPECT_EQ(ClientOf("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "");
  EXPECT_EQ(ClientOf(V2(std::string("\x20\x00\x00\x00", 4))), "");
}

TEST(ProxyHeader, NothingElseIsTakenForOne) {
  for (const std::string& input : {
           std::string("EHLO x\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"),
           std::string("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1\t198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 65536 25\r\n"),
           std::string("PROXY TCP4 192.0.2.1 198.51.100.1 -1 25\r\n"),
           std::string("PROXY TCP4 192.0.2.300 198.51.100.1 1 2\r\n"),
           std::string("PROXY TCP4 192.0.2.1 x 1 2\r\n"),
           std::string("PROXY SMTP 192.0.2.1 198.51.100.1 1 2\r\n"),
           "PROXY " + std::string(200, 'x'),
           V2(std::string("\x11\x11\x00\x0c", 4) + kAddresses4),
           V2(std::string("\x22\x11\x00\x0c", 4) + kAddresses4),
           V2(std::string("\x21\x12\x00\x0c", 4) + kAddresses4),
           V2(std::string("\x21\x11\x00\x0b", 4) + kAddresses4.substr(0, 11)),
           V2(std::string("\x21\x31\x00\x0c", 4) + kAddresses4),
           V2(std::string("\x21\x11\xff\xff", 4) + kAddresses4),
       }) {
    EXPECT_EQ(ClientOf(input), "no") << input;
  }
  EXPECT_EQ(ClientOf("PROXY TCP4 192.0.2.1"), "more");
  EXPECT_EQ(ClientOf(V2("\x21")), "more");
}

}  // namespace
}  // namespace prov::net
