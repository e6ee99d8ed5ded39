// The audit log as a chain of hashes: pure, no SQL. docs/decisions/0008-audit-chain.md says what it shows and
// what it does not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/subscriber.h"

namespace prov::store {

struct AuditRecord {
  uint64_t id = 0;  // from 1 on, without gaps
  model::Time time;
  std::string caller;
  std::string peer;
  std::string method;
  std::string resource;
  std::string request_id;
  uint64_t revision = 0;
  int code = 0;  // google.rpc.Code
  std::string before_json;
  std::string after_json;
  std::string hash;  // 32 octets; set when the record is chained
};

// A record's place in the chain. The chain begins after id 0, whose hash is 32 zero octets.
struct AuditHead {
  uint64_t id = 0;
  std::string hash = std::string(32, '\0');

  bool operator==(const AuditHead&) const = default;
};

// SHA-256 over the hash before it, then id, time in microseconds since 1970, revision and code as 64-bit
// big-endian numbers, then each text with its length in octets, as such a number, before it.
std::string AuditHash(std::string_view previous_hash, const AuditRecord& record);

// Lower case.
std::string HexOf(const std::string& octets);

// Gives `records` their ids and hashes and moves `head` to the last of them. Texts are made storable first:
// PostgreSQL takes neither malformed UTF-8 nor NUL, and one such record must not fail its neighbours.
void Chain(AuditHead& head, std::vector<AuditRecord>& records);

// Where a chain is broken first.
struct AuditBreak {
  enum class Kind { kChanged, kMissing, kTruncated, kRewritten };
  Kind kind = Kind::kChanged;
  uint64_t id = 0;
  std::string reason;  // for people
};

// Checks records one after the other; holds no more than the last one's place.
class AuditWalk {
 public:
  // `after` is trusted: the beginning, or where an earlier walk came to. `noted` is a head that somebody
  // wrote down elsewhere; the walk says if the chain has another record there now.
  AuditWalk(AuditHead after, std::optional<AuditHead> noted);

  // The next record by id.
  std::optional<AuditBreak> Check(const AuditRecord& record);
  // At the end: whether the walk came to `head`, and to what was noted. `last_id` is the newest record's.
  std::optional<AuditBreak> Finish(const AuditHead& head, uint64_t last_id) const;

  const AuditHead& reached() const { return reached_; }

 private:
  AuditHead reached_;
  const std::optional<AuditHead> noted_;
};

}  // namespace prov::store
