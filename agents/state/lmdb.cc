#include "agents/state/lmdb.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "common/status.h"

namespace prov::state {
namespace {

MDB_val ValueOf(std::string_view text) { return MDB_val{text.size(), const_cast<char*>(text.data())}; }
std::string_view ViewOf(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

bool IsKey(std::string_view key) { return !key.empty() && key.size() <= kMaxKeyOctets; }

// A file cut short by a broken disk or copy would kill its readers with SIGBUS.
absl::Status CheckWhole(MDB_env* env, const std::string& directory) {
  MDB_envinfo info;
  MDB_stat stat;
  if (const int code = mdb_env_info(env, &info); code != 0) return LmdbStatus(code, directory);
  if (const int code = mdb_env_stat(env, &stat); code != 0) return LmdbStatus(code, directory);
  const std::string path = directory + "/data.mdb";
  struct stat file;
  if (::stat(path.c_str(), &file) != 0) return ErrnoStatus(errno, path);
  const auto wanted = static_cast<uint64_t>(info.me_last_pgno + 1) * stat.ms_psize;
  if (static_cast<uint64_t>(file.st_size) < wanted) {
    return absl::DataLossError(fmt::format("{} has {} octets, {} are wanted", path, file.st_size, wanted));
  }
  return absl::OkStatus();
}

// A forked child may not go on with its parent's environment.
using EnvironmentKey = std::tuple<pid_t, dev_t, ino_t>;
struct OpenedEnvironment {
  std::weak_ptr<MDB_env> env;
  bool writable = false;
};

absl::StatusOr<EnvPtr> OpenAnew(const std::string& directory, bool writable, mode_t mode) {
  MDB_env* raw = nullptr;
  if (const int code = mdb_env_create(&raw); code != 0) return LmdbStatus(code, directory);
  EnvPtr env(raw, mdb_env_close);
  int code = mdb_env_set_mapsize(raw, kMapOctets);
  if (code == 0) code = mdb_env_set_maxreaders(raw, kMaxReaders);
  if (code == 0) code = mdb_env_set_maxdbs(raw, kMaxDatabases);
  if (code == 0) code = mdb_env_open(raw, directory.c_str(), MDB_NOTLS | (writable ? 0 : MDB_RDONLY), mode);
  if (code != 0) return LmdbStatus(code, fmt::format("open state in {}", directory));
  PROV_RETURN_IF_ERROR(CheckWhole(raw, directory));
  return env;
}

}  // namespace

absl::Status LmdbStatus(int code, std::string_view context) {
  const std::string message = fmt::format("{}: {}", context, mdb_strerror(code));
  switch (code) {
    case 0:
      return absl::OkStatus();
    case MDB_NOTFOUND:
      return absl::NotFoundError(message);
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
      return absl::ResourceExhaustedError(message);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
      return absl::DataLossError(message);
    case MDB_PANIC:
      return absl::InternalError(message);
    default:
      return code > 0 ? ErrnoStatus(code, context) : absl::UnavailableError(message);
  }
}

absl::StatusOr<EnvPtr> OpenEnvironment(const std::string& directory, bool writable, mode_t mode) {
  static std::mutex mutex;
  static auto& opened = *new std::map<EnvironmentKey, OpenedEnvironment>;
  const std::lock_guard lock(mutex);
  struct stat info;
  if (::stat(directory.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("state in {}", directory));
  OpenedEnvironment& known = opened[EnvironmentKey{getpid(), info.st_dev, info.st_ino}];
  if (EnvPtr shared = known.env.lock(); shared != nullptr) {
    if (known.writable || !writable) return shared;
    return absl::FailedPreconditionError(fmt::format("{} is open for reading in this process", directory));
  }
  PROV_ASSIGN_OR_RETURN(EnvPtr env, OpenAnew(directory, writable, mode));
  known = {env, writable};
  return env;
}

absl::StatusOr<Transaction> Transaction::Begin(MDB_env* env, unsigned flags) {
  MDB_txn* txn = nullptr;
  if (const int code = mdb_txn_begin(env, nullptr, flags, &txn); code != 0) {
    return LmdbStatus(code, "begin transaction");
  }
  return Transaction(txn);
}

absl::StatusOr<std::optional<std::string_view>> Transaction::Get(MDB_dbi table, std::string_view key) const {
  if (!IsKey(key)) return std::nullopt;
  MDB_val wanted = ValueOf(key), found;
  const int code = mdb_get(txn_, table, &wanted, &found);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return LmdbStatus(code, "read state");
  return ViewOf(found);
}

absl::Status Transaction::Put(MDB_dbi table, std::string_view key, std::string_view value) {
  MDB_val name = ValueOf(key), content = ValueOf(value);
  return LmdbStatus(mdb_put(txn_, table, &name, &content, 0), "write state");
}

absl::StatusOr<bool> Transaction::Erase(MDB_dbi table, std::string_view key) {
  if (!IsKey(key)) return false;
  MDB_val name = ValueOf(key);
  const int code = mdb_del(txn_, table, &name, nullptr);
  if (code == MDB_NOTFOUND) return false;
  if (code != 0) return LmdbStatus(code, "write state");
  return true;
}

absl::StatusOr<uint64_t> Transaction::Count(MDB_dbi table) const {
  MDB_stat stat;
  if (const int code = mdb_stat(txn_, table, &stat); code != 0) return LmdbStatus(code, "read state");
  return stat.ms_entries;
}

absl::Status Transaction::Commit() {
  return LmdbStatus(mdb_txn_commit(std::exchange(txn_, nullptr)), "commit state");
}

absl::StatusOr<Cursor> Cursor::Open(const Transaction& txn, MDB_dbi table) {
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(txn.get(), table, &cursor); code != 0) {
    return LmdbStatus(code, "read state");
  }
  return Cursor(cursor);
}

absl::StatusOr<std::optional<Cursor::Entry>> Cursor::Seek(std::string_view key) {
  if (key.empty()) return Move(MDB_val{}, MDB_FIRST);
  return Move(ValueOf(key), MDB_SET_RANGE);
}

absl::StatusOr<std::optional<Cursor::Entry>> Cursor::Next() { return Move(MDB_val{}, MDB_NEXT); }

absl::StatusOr<std::optional<Cursor::Entry>> Cursor::Move(MDB_val key, MDB_cursor_op op) {
  MDB_val value;
  const int code = mdb_cursor_get(cursor_, &key, &value, op);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != 0) return LmdbStatus(code, "read state");
  return Entry{ViewOf(key), ViewOf(value)};
}

}  // namespace prov::state
