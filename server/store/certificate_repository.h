// Certificates, their revocation, and the tokens that hosts enrol with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/subscriber.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

struct CertificateRecord {
  std::string serial;     // lower-case hexadecimal
  std::string identity;   // "agent/store1"
  std::string issued_by;  // "operator/admin"
  model::Time issue_time;
  model::Time expire_time;
  std::optional<model::Time> revoke_time;
  std::string revoke_reason;
};

// Thread-safe.
class CertificateRepository {
 public:
  explicit CertificateRepository(ConnectionPool& pool) : pool_(pool) {}

  // Newest first. `identity` empty: all. Those before `before_us` and `before_serial`, the issue time in
  // microseconds and the serial of the last one of the page before; 0 and "" at first.
  absl::StatusOr<std::vector<CertificateRecord>> List(const std::string& identity, int64_t before_us,
                                                      const std::string& before_serial, size_t limit);

  // Within a write:

  // The host's token from now on; an earlier one is void.
  static void SetToken(WriteTransaction& write, const std::string& token_hash, const std::string& host,
                       model::Time expire_time);
  // The host has no token any more.
  static void ForgetToken(WriteTransaction& write, const std::string& host);
  // The host of a token that is good for this key, which it is bound to from now on. Nothing if it is
  // unknown, expired, or was used with another key.
  static std::optional<std::string> UseToken(WriteTransaction& write, const std::string& token_hash,
                                             const std::string& key_hash);
  // A certificate that was signed; its issue time is now.
  static void Record(WriteTransaction& write, const CertificateRecord& certificate);
  // UNAUTHENTICATED if it is revoked by now.
  static absl::Status CheckNotRevoked(WriteTransaction& write, const std::string& serial);
  // Of any certificate, on record or not. Again: changes nothing.
  static void Revoke(WriteTransaction& write, const std::string& serial, const std::string& reason);
  // All certificates that the identity has so far, on record or not.
  static void RevokeAllOf(WriteTransaction& write, const std::string& identity, const std::string& reason);

 private:
  ConnectionPool& pool_;
};

}  // namespace prov::store
