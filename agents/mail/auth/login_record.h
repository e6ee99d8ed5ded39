// What the host's copy says of a login, before any password is looked at.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "agents/state/reader.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::auth {

struct LoginRecord {
  v1::Disposition use = v1::DISPOSITION_UNSPECIFIED;  // of the service
  bool closed = false;
  uint64_t credential_version = 0;
  std::string mailbox_id = {};  // empty where the host has none
  std::string plan = {};        // likewise
};

// By the login in lower case. NOT_FOUND: nobody of that name here; UNAVAILABLE: it cannot be told now.
// Thread-safe.
using FindLogin = std::function<absl::StatusOr<LoginRecord>(const std::string& login)>;

// `state` outlives them. POP3 on the store that has the mailbox:
FindLogin MailboxLogins(state::StateReader& state);
// Submission, on any relay:
FindLogin SubmissionLogins(state::StateReader& state);

}  // namespace prov::auth
