// What the engine and a PAM worker say to each other over a socket: frames of a four octet length (big
// endian) and that many octets. Pure: octets in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agents/mail/auth/secret.h"

namespace prov::auth {

constexpr size_t kFrameHeaderOctets = 4;
constexpr size_t kMaxFrameOctets = 4096;  // without the header
constexpr size_t kMaxFieldOctets = 1024;  // of each field in it

struct WorkerRequest {
  std::string service;
  std::string login;
  Secret password;
  std::string remote_address;
};

enum class PamVerdict : uint8_t {
  kOk = 1,
  kWrongOrUnknown = 2,
  kNotAllowed = 3,
  kUnavailable = 4,
  kExpired = 5,  // the account or its password
};

struct WorkerReply {
  PamVerdict verdict = PamVerdict::kUnavailable;
  std::string text;  // what PAM called it, for the log
  // The credential version of the directory's entry, when the stack tells it (PROV_CREDENTIAL_VERSION in the
  // PAM environment); empty: it does not.
  std::string credential_version;
};

// Whole frames, header included. A request's text holds the password: wipe it. Empty when a field is too
// long.
std::string EncodeRequest(const WorkerRequest& request);
std::string EncodeReply(const WorkerReply& reply);

// The length in a header; nothing when it is 0 or more than the limit.
std::optional<size_t> DecodeHeader(std::string_view header);

// `body` is a frame without its header. Nothing when it is malformed.
std::optional<WorkerRequest> DecodeRequest(std::string_view body);
std::optional<WorkerReply> DecodeReply(std::string_view body);

}  // namespace prov::auth
