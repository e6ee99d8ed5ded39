// How far the directory has come, as the directory itself says: cn=cursor,ou=system,BASE.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ldap/entry.h"

namespace prov::directory {

struct Cursor {
  uint64_t revision = 0;  // 0: nothing is known; everything is to be compared
  // Set aside, by name ("subscribers/1042"), with the revision at which the directory refused it.
  std::map<std::string, uint64_t> failing;
  bool operator==(const Cursor&) const = default;
};

ldap::Entry CursorEntry(const std::string& base, const Cursor& cursor);
absl::StatusOr<Cursor> ParseCursor(const ldap::Entry& entry);

// From one cursor to the next. Takes the old revision away by value, so that it fails (ABORTED, with the
// whole transaction) if another provd has moved the cursor meanwhile.
ldap::Modify MoveCursor(const std::string& base, const Cursor& from, const Cursor& to);

}  // namespace prov::directory
