#include "agents/mail/auth/worker_protocol.h"

#include <initializer_list>

namespace prov::auth {
namespace {

void AppendBigEndian(std::string& frame, size_t value, int octets) {
  for (int shift = 8 * (octets - 1); shift >= 0; shift -= 8) {
    frame += static_cast<char>((value >> shift) & 0xff);
  }
}

size_t BigEndian(std::string_view text) {
  size_t value = 0;
  for (const unsigned char c : text) value = value << 8 | c;
  return value;
}

// Header, a tag where it is not 0, and the fields with two octets of length each.
std::string Frame(uint8_t tag, std::initializer_list<std::string_view> fields) {
  size_t octets = tag != 0 ? 1 : 0;
  for (const std::string_view field : fields) {
    if (field.size() > kMaxFieldOctets) return std::string();
    octets += 2 + field.size();
  }
  if (octets > kMaxFrameOctets) return std::string();
  std::string frame;
  frame.reserve(kFrameHeaderOctets + octets);  // growing would leave copies of the password behind
  AppendBigEndian(frame, octets, kFrameHeaderOctets);
  if (tag != 0) frame += static_cast<char>(tag);
  for (const std::string_view field : fields) {
    AppendBigEndian(frame, field.size(), 2);
    frame += field;
  }
  return frame;
}

std::optional<std::string_view> TakeField(std::string_view& body) {
  if (body.size() < 2) return std::nullopt;
  const size_t size = BigEndian(body.substr(0, 2));
  if (size > kMaxFieldOctets || size > body.size() - 2) return std::nullopt;
  const std::string_view field = body.substr(2, size);
  body.remove_prefix(2 + size);
  return field;
}

}  // namespace

std::string EncodeRequest(const WorkerRequest& request) {
  return Frame(0, {request.service, request.login, request.password.Reveal(), request.remote_address});
}

std::string EncodeReply(const WorkerReply& reply) {
  return Frame(static_cast<uint8_t>(reply.verdict), {reply.text, reply.credential_version});
}

std::optional<size_t> DecodeHeader(std::string_view header) {
  if (header.size() != kFrameHeaderOctets) return std::nullopt;
  const size_t octets = BigEndian(header);
  if (octets == 0 || octets > kMaxFrameOctets) return std::nullopt;
  return octets;
}

std::optional<WorkerRequest> DecodeRequest(std::string_view body) {
  const auto service = TakeField(body);
  const auto login = service ? TakeField(body) : std::nullopt;
  const auto password = login ? TakeField(body) : std::nullopt;
  const auto remote = password ? TakeField(body) : std::nullopt;
  if (!remote || !body.empty()) return std::nullopt;
  return WorkerRequest{std::string(*service), std::string(*login), Secret(*password), std::string(*remote)};
}

std::optional<WorkerReply> DecodeReply(std::string_view body) {
  if (body.empty()) return std::nullopt;
  const auto tag = static_cast<uint8_t>(body.front());
  if (tag < static_cast<uint8_t>(PamVerdict::kOk) || tag > static_cast<uint8_t>(PamVerdict::kExpired)) {
    return std::nullopt;
  }
  body.remove_prefix(1);
  const auto text = TakeField(body);
  const auto version = text ? TakeField(body) : std::nullopt;
  if (!version || !body.empty()) return std::nullopt;
  return WorkerReply{static_cast<PamVerdict>(tag), std::string(*text), std::string(*version)};
}

}  // namespace prov::auth
