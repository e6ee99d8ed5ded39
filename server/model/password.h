// Passwords on their way in: strong enough, hashed once, never kept (I7).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::model {

constexpr size_t kMaxPasswordOctets = 512;
constexpr size_t kLeastPasswordCharacters = 8;
constexpr size_t kMaxPasswordHashOctets = 256;

// INVALID_ARGUMENT on `field` when it is too short, too long, in a dictionary, close to the login, or has
// control characters (libpwquality with its defaults and the system's cracklib dictionary). The password is
// never echoed.
absl::Status CheckPassword(std::string_view field, std::string_view password, std::string_view login,
                           size_t least_characters);

// "{CRYPT}$6$…": SHA-512 crypt with a random salt, as slapd, Dovecot and /etc/shadow verify it. Takes
// milliseconds.
absl::StatusOr<std::string> HashPassword(std::string_view password);

// Whether `hash`, of HashPassword or CheckPasswordHash, is of this password. Takes as long as making one.
bool VerifyPassword(std::string_view hash, std::string_view password);

// Accepts a hash made elsewhere: {CRYPT} with $6$ (SHA-512) or $y$ (yescrypt).
absl::Status CheckPasswordHash(std::string_view field, std::string_view hash);

}  // namespace prov::model
