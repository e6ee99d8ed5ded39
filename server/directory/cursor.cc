#include "server/directory/cursor.h"

#include <fmt/format.h>

#include <charconv>

#include "server/directory/mapping.h"

namespace prov::directory {
namespace {

using ldap::Modification;

bool ParseNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

// "17 subscribers/1042"
std::string FailingValue(const std::pair<const std::string, uint64_t>& failing) {
  return fmt::format("{} {}", failing.second, failing.first);
}

}  // namespace

ldap::Entry CursorEntry(const std::string& base, const Cursor& cursor) {
  ldap::Entry entry{CursorDn(base),
                    {{"objectClass", {"organizationalRole", "provCursor"}},
                     {"cn", {"cursor"}},
                     {"provRevision", {std::to_string(cursor.revision)}}}};
  for (const auto& failing : cursor.failing) entry.attributes["provFailing"].push_back(FailingValue(failing));
  return entry;
}

absl::StatusOr<Cursor> ParseCursor(const ldap::Entry& entry) {
  Cursor cursor;
  const auto revision = entry.attributes.find("provRevision");
  if (revision == entry.attributes.end() || revision->second.size() != 1 ||
      !ParseNumber(revision->second.front(), &cursor.revision)) {
    return absl::FailedPreconditionError(entry.dn +
                                         " has no revision; delete it to have all entries compared");
  }
  const auto failing = entry.attributes.find("provFailing");
  if (failing == entry.attributes.end()) return cursor;
  for (const std::string& value : failing->second) {
    const size_t space = value.find(' ');
    uint64_t number = 0;
    if (space == std::string::npos || !ParseNumber(std::string_view(value).substr(0, space), &number)) {
      return absl::FailedPreconditionError(fmt::format(
          "{}: provFailing {:?} is not ours; delete the entry to have all compared", entry.dn, value));
    }
    cursor.failing[value.substr(space + 1)] = number;
  }
  return cursor;
}

ldap::Modify MoveCursor(const std::string& base, const Cursor& from, const Cursor& to) {
  ldap::Modify modify{CursorDn(base), {}};
  const auto add = [&modify](Modification::Kind kind, const char* attribute, ldap::Values values) {
    if (!values.empty()) modify.modifications.push_back({kind, attribute, std::move(values)});
  };
  add(Modification::Kind::kDelete, "provRevision", {std::to_string(from.revision)});
  add(Modification::Kind::kAdd, "provRevision", {std::to_string(to.revision)});
  ldap::Values gone, come;
  for (const auto& failing : from.failing) {
    const auto kept = to.failing.find(failing.first);
    if (kept == to.failing.end() || kept->second != failing.second) gone.push_back(FailingValue(failing));
  }
  for (const auto& failing : to.failing) {
    const auto before = from.failing.find(failing.first);
    if (before == from.failing.end() || before->second != failing.second)
      come.push_back(FailingValue(failing));
  }
  add(Modification::Kind::kDelete, "provFailing", std::move(gone));
  add(Modification::Kind::kAdd, "provFailing", std::move(come));
  return modify;
}

}  // namespace prov::directory
