// A keyed hash that tells whether two requests are the same, and nothing of what is in them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/store/connection_pool.h"

namespace prov::store {

// Thread-safe. The key is made once for a database and shared by every provd on it: a request may hold a
// password, and a plain hash of it could be guessed from a stolen table.
class RequestFingerprint {
 public:
  static absl::StatusOr<RequestFingerprint> Load(ConnectionPool& pool);

  // 32 octets of HMAC-SHA256 over method and request.
  std::string Of(std::string_view method, std::string_view request) const;

 private:
  explicit RequestFingerprint(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace prov::store
