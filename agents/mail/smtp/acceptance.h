// What relay and store have in common when they take a message: the client, policies, replies for errors.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "agents/mail/policy/policy.h"
#include "agents/mail/smtp/header_scanner.h"
#include "agents/mail/smtp/path.h"
#include "agents/mail/smtp/reply.h"

namespace prov::smtp {

// A message that took longer to become durable is not accepted any more: its sender has given up waiting, and
// comes again.
constexpr std::chrono::minutes kMostCommitTime{5};

Reply ReplyOf(const policy::Verdict& verdict);
// 452 when there is no room, else 451: nothing that goes wrong on our disk is the sender's fault.
Reply StorageReply(const absl::Status& status);
policy::Recipient PolicyRecipient(const Path& path);
policy::Header PolicyHeader(const HeaderFacts& facts);

}  // namespace prov::smtp
