// One login through PAM. Blocks, for as long as the stack's modules like: call it in a process of its own.
#pragma once

#include <string>

#include "agents/mail/auth/worker_protocol.h"

namespace prov::auth {

// pam_authenticate, then pam_acct_mgmt. `config_directory` holds the service's file; empty: /etc/pam.d.
WorkerReply LoginThroughPam(const std::string& config_directory, const WorkerRequest& request);

}  // namespace prov::auth
