// A login on the event loop, answered no sooner than its verdict says.
#pragma once

#include <asio/awaitable.hpp>

#include "agents/mail/auth/authenticator.h"

namespace prov::auth {

// kOk comes at once; refusals when Verdict::hold is over. `authenticator` outlives the call.
asio::awaitable<Verdict> LogIn(Authenticator& authenticator, Attempt attempt);

}  // namespace prov::auth
