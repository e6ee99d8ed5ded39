// A subscriber: one login, one mailbox, its addresses and what it may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/model/lifecycle.h"

namespace prov::model {

using Time = std::chrono::system_clock::time_point;

struct Forward {
  std::vector<std::string> targets;
  bool keep_copy = false;
  bool operator==(const Forward&) const = default;
};

struct Subscriber {
  int64_t id = 0;     // never given out twice
  std::string uid;    // UUID; names the mailbox and the homes on hosts
  std::string login;  // normalised address, the first of `addresses`
  std::string display_name;
  std::vector<std::string> addresses;  // normalised; login first, the others sorted
  Forward forward;
  std::vector<std::string> web_names;  // normalised, sorted
  Entitlements entitlements;
  int64_t quota_bytes = 0;
  std::string plan;
  std::map<std::string, std::string> labels;
  State state = State::kActive;
  State state_before_close = State::kActive;
  std::string suspend_reason;
  std::string store_pool;           // pool id, "main"
  std::string leaving_pool;         // while its mail is being fetched from there (MailboxMove); mostly empty
  uint32_t uid_number = 0;          // never given out twice
  std::string password_hash;        // directory form, "{CRYPT}$6$…"; empty: none
  uint64_t credential_version = 0;  // grows with the password and with every change of what login may do
  SuspendedMail suspended_mail = SuspendedMail::kKeep;  // of the login's domain
  Time create_time;
  Time update_time;
  std::optional<Time> delete_time;
  std::optional<Time> expire_time;
  uint64_t revision = 0;  // of the last write
};

}  // namespace prov::model
