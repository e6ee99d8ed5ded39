// A mailing list and its members.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/model/subscriber.h"

namespace prov::model {

constexpr int64_t kMaxMembers = 1'000'000;  // of one list

// Who may send to a list.
enum class Posting { kMembers, kOwners, kAnyone };

// "members", "owners", "anyone": as stored in PostgreSQL.
std::string_view PostingName(Posting posting);

struct MailingList {
  std::string address;  // normalised
  std::string display_name;
  std::vector<std::string> owners;  // normalised addresses, at least one
  Posting posting = Posting::kMembers;
  std::string pool;  // of role list, by id
  int64_t member_count = 0;
  Time create_time;
  Time update_time;
  uint64_t revision = 0;  // of the last write to the list itself; its members have their own
};

struct Member {
  std::string list;     // address
  std::string address;  // normalised
  std::string pool;     // the list's
  Time create_time;
  uint64_t revision = 0;
};

// What a member is called in the change log: no address has a slash.
std::string MemberKey(std::string_view list, std::string_view address);

}  // namespace prov::model
