#include "agents/mail/smtp/trace_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "agents/mail/queue/mail_date.h"
#include "agents/mail/queue/message_format.h"

namespace prov::smtp {
namespace {

// Letters, digits and what literals and host names have: nothing that ends a comment or folds a line.
bool IsHostLike(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:[]").find(c) != std::string_view::npos;
  });
}

std::string AddressLiteral(const std::string& address) {
  return address.find(':') == address.npos ? fmt::format("[{}]", address) : fmt::format("[IPv6:{}]", address);
}

}  // namespace

std::string FormatReceived(const ReceivedBy& r) {
  const std::string_view hello = IsHostLike(r.hello) ? std::string_view(r.hello) : "unknown";
  std::string field = fmt::format("Received: from {} ({})\r\n\tby {} with {} id {}", hello,
                                  AddressLiteral(r.client_address), r.hostname, r.with, r.id);
  if (!r.recipient.empty()) field += fmt::format("\r\n\tfor <{}>", r.recipient);
  if (!r.cipher.empty()) field += fmt::format("\r\n\ttls {}", r.cipher);
  return field + fmt::format(";\r\n\t{}\r\n", queue::MailDate(r.time));
}

std::string MaildirNameOf(std::string_view id) {
  constexpr size_t kTimeDigits = 12, kRandomDigits = 10;
  int64_t milliseconds = 0;
  const auto [end, error] =
      std::from_chars(id.data(), id.data() + std::min(id.size(), kTimeDigits), milliseconds, 16);
  if (id.size() != kTimeDigits + kRandomDigits || error != std::errc() || end != id.data() + kTimeDigits)
    return "";
  return fmt::format("{}.M{:06}T{}", milliseconds / 1000, milliseconds % 1000 * 1000, id);
}

std::string TraceIdOf(std::string_view received) {
  constexpr std::string_view kMark = " id ";
  const size_t mark = received.find(kMark);
  if (mark == received.npos) return "";
  std::string_view id = received.substr(mark + kMark.size());
  id = id.substr(0, id.find_first_of(" \t;\r\n"));
  return queue::IsMessageId(id) ? std::string(id) : "";
}

}  // namespace prov::smtp
