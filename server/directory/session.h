// A bound connection to the directory, with what publisher and verifier ask of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ldap/connection.h"
#include "server/directory/cursor.h"
#include "server/directory/entry_kind.h"
#include "server/directory/plan.h"

namespace prov::directory {

struct SessionOptions {
  ldap::ConnectOptions connect;
  std::string bind_dn;
  std::string password;
  std::string base;
  bool use_transactions = true;
};

// Not thread-safe.
class Session {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Open(const SessionOptions& options);

  // Makes ou=people, ou=domains, ou=lists, ou=system and the cursor where they are missing.
  absl::Status EnsureLayout();
  // Reads the cursor; NOT_FOUND when there is none.
  absl::Status ReadCursor();
  // As last read or written.
  const Cursor& cursor() const { return cursor_; }

  // Entries that carry an item's id or its wanted name.
  absl::StatusOr<std::vector<ldap::Entry>> FindCurrent(const std::vector<Item>& items);

  // Each of our entries of the kind, with what Item::key would be. Entries of others are passed over.
  absl::Status EachEntry(
      const EntryKind& kind,
      const std::function<absl::Status(const std::string& key, const ldap::Entry& entry)>& each);

  bool transactional() const { return transactional_; }
  // Writes and the cursor, all or nothing. `culprit` is an index into `writes`, or writes.size() for the
  // cursor.
  absl::Status Commit(const std::vector<ldap::Write>& writes, const Cursor& next, ldap::Culprit* culprit);
  absl::Status Apply(const ldap::Write& write) { return connection_->Apply(write); }
  absl::Status ApplyCursor(const Cursor& next);

 private:
  Session(std::unique_ptr<ldap::Connection> connection, std::string base, bool transactional)
      : connection_(std::move(connection)), base_(std::move(base)), transactional_(transactional) {}

  std::unique_ptr<ldap::Connection> connection_;
  const std::string base_;
  const bool transactional_;
  Cursor cursor_;
};

}  // namespace prov::directory
