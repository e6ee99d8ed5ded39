#include "agents/state/integrity.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <set>
#include <vector>

#include "agents/state/lmdb.h"
#include "agents/state/tables.h"
#include "common/status.h"

namespace prov::state {
namespace {

constexpr MDB_dbi kFreePages = 0;  // LMDB's own list, one entry for each transaction that freed some
constexpr MDB_dbi kTableNames = 1;
constexpr size_t kMetaPages = 2;

absl::Status Broken(std::string_view what) {
  return absl::DataLossError(fmt::format("the host's copy is broken: {}", what));
}

// What LMDB says while it walks means the same.
absl::Status AsBroken(const absl::Status& status) {
  if (status.ok() || absl::IsDataLoss(status) || absl::IsResourceExhausted(status)) return status;
  return Broken(MessageOf(status));
}

using Visit = std::function<absl::Status(const Cursor::Entry& entry)>;

// Each entry once, in order, as many as the table says it has: pages that lead back to each other have no
// end.
absl::Status Walk(const Transaction& txn, MDB_dbi table, std::string_view name, const Visit& visit) {
  PROV_ASSIGN_OR_RETURN(const uint64_t entries, txn.Count(table));
  PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, table));
  uint64_t seen = 0;
  std::string last;
  PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(""));
  while (entry) {
    if (++seen > entries || (seen > 1 && entry->key <= last)) {
      return Broken(fmt::format("{} is not in order", name));
    }
    last = entry->key;
    PROV_RETURN_IF_ERROR(visit(*entry));
    PROV_ASSIGN_OR_RETURN(entry, walk.Next());
  }
  if (seen == entries) return absl::OkStatus();
  return Broken(fmt::format("{} has {} entries and says {}", name, seen, entries));
}

// An index, and how many of its entries lead to a record that has the name.
struct Index {
  MDB_dbi table = 0;
  std::string_view name;
  uint64_t right = 0;
};

// What is not in an index would be refused for good. A name may lead to another record that has it too: it
// has moved, and this record's next version is on its way.
absl::Status CheckIndexed(const Transaction& txn, std::string_view key,
                          const std::set<std::string_view>& names, Index& index) {
  for (const std::string_view name : names) {
    PROV_ASSIGN_OR_RETURN(const auto found, txn.Get(index.table, name));
    if (!found) return Broken(fmt::format("{} lacks one of a record", index.name));
    if (*found == key) ++index.right;
  }
  return absl::OkStatus();
}

absl::Status CheckRecordsAndIndexes(const Transaction& txn, const RoleTables& tables) {
  Index addresses{tables.addresses, "the index of addresses"}, logins{tables.logins, "the index of logins"};
  const auto visit = [&](const Cursor::Entry& entry) -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(entry.value));
    PROV_ASSIGN_OR_RETURN(const v1::Record record, ParseRecord(stored.serialised));
    if (record.key() != entry.key) return Broken("a record has another one's key");
    const std::vector<std::string_view> all = AddressesOf(record);
    PROV_RETURN_IF_ERROR(CheckIndexed(txn, entry.key, {all.begin(), all.end()}, addresses));
    const auto login = LoginOf(record);
    return login ? CheckIndexed(txn, entry.key, {*login}, logins) : absl::OkStatus();
  };
  PROV_RETURN_IF_ERROR(Walk(txn, tables.records, "the records", visit));
  for (const Index& index : {addresses, logins}) {
    PROV_RETURN_IF_ERROR(Walk(txn, index.table, index.name, [](const auto&) { return absl::OkStatus(); }));
    PROV_ASSIGN_OR_RETURN(const uint64_t entries, txn.Count(index.table));
    if (index.right != entries) return Broken(fmt::format("{} leads astray", index.name));
  }
  return absl::OkStatus();
}

absl::Status CheckQueue(const Transaction& txn, const RoleTables& tables) {
  PROV_RETURN_IF_ERROR(Walk(txn, tables.pending, "the queue",
                            [](const Cursor::Entry& entry) { return DecodeItem(entry.value).status(); }));
  return Walk(txn, tables.due, "the queue's order", [&](const Cursor::Entry& entry) -> absl::Status {
    PROV_ASSIGN_OR_RETURN(const auto item, txn.Get(tables.pending, entry.value));
    return item ? absl::OkStatus() : Broken("the queue's order names what is not in it");
  });
}

absl::Status CheckRole(const Transaction& txn, const Tables& tables, v1::Role role) {
  PROV_RETURN_IF_ERROR(ReadCursor(txn, tables, role).status());
  PROV_ASSIGN_OR_RETURN(const RoleTables* of_role, tables.Of(role));
  PROV_RETURN_IF_ERROR(CheckRecordsAndIndexes(txn, *of_role));
  PROV_RETURN_IF_ERROR(CheckQueue(txn, *of_role));
  return Walk(txn, of_role->rejected, "the rejected records",
              [](const Cursor::Entry& entry) { return DecodeRejection(entry.value).status(); });
}

// Lists of page numbers, their length first, from high to low: the next writer takes its pages from there.
absl::Status CheckFreePages(const Transaction& txn) {
  MDB_envinfo info;
  if (const int code = mdb_env_info(mdb_txn_env(txn.get()), &info); code != 0) {
    return LmdbStatus(code, "read state");
  }
  PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, kFreePages));
  PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(""));
  while (entry) {
    const std::string_view list = entry->value;
    const size_t numbers = list.size() / sizeof(size_t);
    size_t count = 0, above = info.me_last_pgno + 1;
    if (numbers > 0) memcpy(&count, list.data(), sizeof count);
    if (numbers == 0 || count >= numbers) return Broken("a list of free pages has no end");
    for (size_t i = 1; i <= count; ++i) {
      size_t page = 0;
      memcpy(&page, list.data() + i * sizeof page, sizeof page);
      if (page < kMetaPages || page >= above) return Broken("a list of free pages has a wrong number");
      above = page;
    }
    PROV_ASSIGN_OR_RETURN(entry, walk.Next());
  }
  return absl::OkStatus();
}

// All tables are made at once: where there is one and not the others, a name is spoilt.
absl::Status CheckNotBegun(MDB_env* env) {
  PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env));
  PROV_ASSIGN_OR_RETURN(const uint64_t tables, txn.Count(kTableNames));
  return tables == 0 ? absl::OkStatus() : Broken("a table is missing");
}

absl::Status CheckAll(MDB_env* env, const Tables& tables) {
  PROV_ASSIGN_OR_RETURN(const Transaction txn, Transaction::BeginRead(env));
  PROV_RETURN_IF_ERROR(CheckFreePages(txn));
  for (const v1::Role role : kRoles) PROV_RETURN_IF_ERROR(CheckRole(txn, tables, role));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckIntegrity(const std::string& directory) {
  struct stat file;
  const std::string path = directory + "/data.mdb";
  // LMDB makes it empty, and fills it then.
  if (stat(path.c_str(), &file) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, fmt::format("stat {}", path));
  }
  if (file.st_size == 0) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(const EnvPtr env, OpenEnvironment(directory, false, kDataMode));
  const auto tables = Tables::Open(env.get(), false);
  if (absl::IsUnavailable(tables.status())) return CheckNotBegun(env.get());
  PROV_RETURN_IF_ERROR(AsBroken(tables.status()));
  return AsBroken(CheckAll(env.get(), *tables));
}

}  // namespace prov::state
