#include "server/store/audit_chain.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/escaping.h"
#include "common/utf8.h"

namespace prov::store {
namespace {

void AddNumber(std::string& octets, int64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    octets.push_back(static_cast<char>(static_cast<uint64_t>(number) >> shift));
  }
}

void AddText(std::string& octets, std::string_view text) {
  AddNumber(octets, static_cast<int64_t>(text.size()));
  octets.append(text);
}

void MakeStorable(std::string& text) {
  std::replace(text.begin(), text.end(), '\0', '?');
  if (IsValidUtf8(text)) return;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
}

}  // namespace

std::string AuditHash(std::string_view previous_hash, const AuditRecord& record) {
  std::string octets(previous_hash);
  AddNumber(octets, static_cast<int64_t>(record.id));
  AddNumber(octets,
            std::chrono::duration_cast<std::chrono::microseconds>(record.time.time_since_epoch()).count());
  AddNumber(octets, static_cast<int64_t>(record.revision));
  AddNumber(octets, record.code);
  for (const std::string* text : {&record.caller, &record.peer, &record.method, &record.resource,
                                  &record.request_id, &record.before_json, &record.after_json}) {
    AddText(octets, *text);
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(octets.data()), octets.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

std::string HexOf(const std::string& octets) {
  return absl::BytesToHexString(absl::string_view(octets.data(), octets.size()));
}

void Chain(AuditHead& head, std::vector<AuditRecord>& records) {
  for (AuditRecord& record : records) {
    for (std::string* text : {&record.caller, &record.peer, &record.method, &record.resource,
                              &record.request_id, &record.before_json, &record.after_json}) {
      MakeStorable(*text);
    }
    record.id = head.id + 1;
    record.hash = AuditHash(head.hash, record);
    head = {record.id, record.hash};
  }
}

AuditWalk::AuditWalk(AuditHead after, std::optional<AuditHead> noted)
    : reached_(std::move(after)), noted_(std::move(noted)) {}

std::optional<AuditBreak> AuditWalk::Check(const AuditRecord& record) {
  const uint64_t expected = reached_.id + 1;
  if (record.id != expected) {
    return AuditBreak{AuditBreak::Kind::kMissing, expected,
                      record.id == expected + 1
                          ? fmt::format("record {} is missing", expected)
                          : fmt::format("records {} to {} are missing", expected, record.id - 1)};
  }
  if (record.hash != AuditHash(reached_.hash, record)) {
    return AuditBreak{AuditBreak::Kind::kChanged, record.id,
                      reached_.id == 0
                          ? fmt::format("record {} was changed", record.id)
                          : fmt::format("record {} was changed, or record {} together with its hash",
                                        record.id, reached_.id)};
  }
  if (noted_ && noted_->id == record.id && noted_->hash != record.hash) {
    return AuditBreak{AuditBreak::Kind::kRewritten, record.id,
                      fmt::format("record {} has another hash than was noted: it, or records before it, were "
                                  "changed and the chain was made anew",
                                  record.id)};
  }
  reached_ = {record.id, record.hash};
  return std::nullopt;
}

std::optional<AuditBreak> AuditWalk::Finish(const AuditHead& head, uint64_t last_id) const {
  const uint64_t least = std::max(head.id, noted_ ? noted_->id : 0);
  if (last_id < least) {
    return AuditBreak{AuditBreak::Kind::kTruncated, last_id + 1,
                      fmt::format("the log ends at record {}, and {} were written", last_id, least)};
  }
  if (head.id < last_id) {
    return AuditBreak{
        AuditBreak::Kind::kChanged, head.id + 1,
        fmt::format("the chain's head is {}, and there are records up to {}", head.id, last_id)};
  }
  if (reached_.id == head.id && reached_.hash != head.hash) {
    return AuditBreak{AuditBreak::Kind::kChanged, head.id,
                      fmt::format("the chain's head has another hash than record {}", head.id)};
  }
  return std::nullopt;
}

}  // namespace prov::store
