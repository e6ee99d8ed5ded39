// Whether a host's copy can be read to its last octet.
//
// LMDB trusts its file: a page that a disk or a person has spoilt may end whoever reads it. So this is for a
// process of its own, whose death is an answer too.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prov::state {

// Walks every table in order, takes every value apart, follows every index and the list of free pages.
// DATA_LOSS says what is wrong. A copy that is not there, or not yet begun, is OK. Other errors: it could not
// be looked at. Changes nothing.
absl::Status CheckIntegrity(const std::string& directory);

}  // namespace prov::state
