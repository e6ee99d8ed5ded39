// libpqxx speaks in exceptions; nothing above this room sees one.
#pragma once

#include <functional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace prov::store {

// Call it inside `catch (const std::exception&)`. UNAVAILABLE for a lost connection, a shutdown or a commit
// whose outcome is unknown; ALREADY_EXISTS and NOT_FOUND with the field for constraints of our schema;
// ABORTED for a deadlock. The server's own text is logged, and only its SQL state is told.
absl::Status FromPostgres(const std::exception& error, std::string_view context);

// Runs `body`, which returns absl::Status or absl::StatusOr, and translates what it throws.
template <typename Body>
auto Guarded(std::string_view context, Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::exception& error) {
    return FromPostgres(error, context);
  }
}

}  // namespace prov::store
