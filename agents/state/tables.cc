#include "agents/state/tables.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <string.h>

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <mutex>
#include <utility>

#include "common/status.h"

namespace prov::state {
namespace {

constexpr size_t kNumberOctets = 8;

void AppendNumber(std::string& out, uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift));
}

void AppendText(std::string& out, std::string_view text) {
  AppendNumber(out, text.size());
  out.append(text);
}

// Takes a value apart; false when it is too short.
class Decoder {
 public:
  explicit Decoder(std::string_view value) : rest_(value) {}
  bool Number(uint64_t& number) {
    if (rest_.size() < kNumberOctets) return false;
    number = 0;
    for (const unsigned char c : rest_.substr(0, kNumberOctets)) number = number << 8 | c;
    rest_.remove_prefix(kNumberOctets);
    return true;
  }
  bool Text(std::string& text) {
    uint64_t size = 0;
    if (!Number(size) || rest_.size() < size) return false;
    text.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return true;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Against what disks and memory do, not against people. Each step can be undone, so that a difference in one
// word alone never goes unseen.
uint64_t CheckOf(uint64_t generation, std::string_view octets) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  uint64_t check = (generation + octets.size()) * kOdd;
  while (!octets.empty()) {
    uint64_t word = 0;
    const size_t size = std::min(octets.size(), sizeof word);
    memcpy(&word, octets.data(), size);
    check = std::rotl((check ^ word) * kOdd, 29);
    octets.remove_prefix(size);
  }
  return check;
}

absl::Status Malformed(std::string_view what) {
  return absl::DataLossError(fmt::format("the state holds a malformed {}", what));
}

absl::StatusOr<MDB_dbi> OpenTable(Transaction& txn, const std::string& name, unsigned flags) {
  MDB_dbi table = 0;
  const int code = mdb_dbi_open(txn.get(), name.c_str(), flags, &table);
  if (code == MDB_NOTFOUND) return absl::UnavailableError(fmt::format("the state has no table {} yet", name));
  if (code != 0) return LmdbStatus(code, fmt::format("open table {}", name));
  return table;
}

absl::StatusOr<Tables> OpenTables(Transaction& txn, unsigned flags) {
  Tables tables;
  PROV_ASSIGN_OR_RETURN(tables.meta, OpenTable(txn, "meta", flags));
  PROV_ASSIGN_OR_RETURN(const auto format, txn.Get(tables.meta, kFormatKey));
  if (!format && (flags & MDB_CREATE) == 0) return absl::UnavailableError("the state has no format yet");
  if (format && *format != kFormat) {
    return absl::DataLossError(fmt::format("the state's format is not {}", kFormat));
  }
  if (!format) PROV_RETURN_IF_ERROR(txn.Put(tables.meta, kFormatKey, kFormat));
  for (size_t i = 0; i < kRoles.size(); ++i) {
    RoleTables& role = tables.roles[i];
    const std::initializer_list<std::pair<MDB_dbi*, const char*>> parts = {
        {&role.records, "records"}, {&role.addresses, "addresses"},
        {&role.logins, "logins"},   {&role.pending, "pending"},
        {&role.due, "due"},         {&role.rejected, "rejected"}};
    for (const auto& [table, name] : parts) {
      const std::string full = fmt::format("{}/{}", static_cast<int>(kRoles[i]), name);
      PROV_ASSIGN_OR_RETURN(*table, OpenTable(txn, full, flags));
    }
  }
  return tables;
}

std::string CursorKey(v1::Role role) { return fmt::format("cursor/{}", static_cast<int>(role)); }

}  // namespace

absl::StatusOr<Tables> Tables::Open(MDB_env* env, bool writable) {
  // LMDB wants one opener at a time in a process, to the end of its transaction.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  PROV_ASSIGN_OR_RETURN(Transaction txn,
                        writable ? Transaction::BeginWrite(env) : Transaction::BeginRead(env));
  PROV_ASSIGN_OR_RETURN(const Tables tables, OpenTables(txn, writable ? MDB_CREATE : 0));
  // Handles live on only if their transaction is committed, a reading one too.
  PROV_RETURN_IF_ERROR(txn.Commit());
  return tables;
}

absl::StatusOr<const RoleTables*> Tables::Of(v1::Role role) const {
  for (size_t i = 0; i < kRoles.size(); ++i) {
    if (kRoles[i] == role) return &roles[i];
  }
  return absl::InvalidArgumentError(fmt::format("there is no role {}", static_cast<int>(role)));
}

absl::StatusOr<RoleCursor> ReadCursor(const Transaction& txn, const Tables& tables, v1::Role role) {
  PROV_ASSIGN_OR_RETURN(const auto value, txn.Get(tables.meta, CursorKey(role)));
  RoleCursor cursor;
  if (!value) return cursor;
  Decoder decoder(*value);
  for (uint64_t* number : {&cursor.received, &cursor.applied, &cursor.generation, &cursor.in_snapshot,
                           &cursor.next_number, &cursor.failing, &cursor.rejected}) {
    if (!decoder.Number(*number)) return Malformed("cursor");
  }
  return cursor;
}

absl::Status WriteCursor(Transaction& txn, const Tables& tables, v1::Role role, const RoleCursor& cursor) {
  std::string value;
  for (const uint64_t number : {cursor.received, cursor.applied, cursor.generation, cursor.in_snapshot,
                                cursor.next_number, cursor.failing, cursor.rejected}) {
    AppendNumber(value, number);
  }
  return txn.Put(tables.meta, CursorKey(role), value);
}

std::string EncodeRecord(uint64_t generation, std::string_view serialised) {
  std::string value;
  value.reserve(2 * kNumberOctets + serialised.size());
  AppendNumber(value, CheckOf(generation, serialised));
  AppendNumber(value, generation);
  value.append(serialised);
  return value;
}

absl::StatusOr<StoredRecord> DecodeRecord(std::string_view value) {
  Decoder decoder(value);
  StoredRecord stored;
  uint64_t check = 0;
  if (!decoder.Number(check) || !decoder.Number(stored.generation)) return Malformed("record");
  stored.serialised = decoder.rest();
  if (check != CheckOf(stored.generation, stored.serialised)) return Malformed("record");
  return stored;
}

absl::StatusOr<v1::Record> ParseRecord(std::string_view serialised) {
  v1::Record record;
  if (!record.ParseFromArray(serialised.data(), static_cast<int>(serialised.size()))) {
    return Malformed("record");
  }
  return record;
}

std::string Serialise(const v1::Record& record) {
  std::string octets;
  google::protobuf::io::StringOutputStream stream(&octets);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  record.SerializeToCodedStream(&coded);
  coded.Trim();
  return octets;
}

std::string EncodeItem(const StoredItem& item) {
  std::string value;
  for (const uint64_t number : {item.due, item.place, item.ticket, item.revision, item.base, item.attempts}) {
    AppendNumber(value, number);
  }
  AppendText(value, item.error);
  AppendText(value, item.previous);
  return value;
}

absl::StatusOr<StoredItem> DecodeItem(std::string_view value) {
  Decoder decoder(value);
  StoredItem item;
  for (uint64_t* number :
       {&item.due, &item.place, &item.ticket, &item.revision, &item.base, &item.attempts}) {
    if (!decoder.Number(*number)) return Malformed("pending item");
  }
  if (!decoder.Text(item.error) || !decoder.Text(item.previous)) return Malformed("pending item");
  return item;
}

std::string DueKey(const StoredItem& item) {
  std::string key;
  AppendNumber(key, item.due);
  AppendNumber(key, item.place);
  return key;
}

uint64_t DueOf(std::string_view due_key) {
  uint64_t due = 0;
  Decoder(due_key).Number(due);
  return due;
}

std::string EncodeRejection(const StoredRejection& rejection) {
  std::string value;
  AppendNumber(value, rejection.revision);
  AppendText(value, rejection.error);
  return value;
}

absl::StatusOr<StoredRejection> DecodeRejection(std::string_view value) {
  Decoder decoder(value);
  StoredRejection rejection;
  if (!decoder.Number(rejection.revision) || !decoder.Text(rejection.error)) return Malformed("rejection");
  return rejection;
}

std::vector<std::string_view> AddressesOf(const v1::Record& record) {
  const google::protobuf::RepeatedPtrField<std::string>* addresses = nullptr;
  if (record.has_mail_route()) addresses = &record.mail_route().addresses();
  if (record.has_mailbox()) addresses = &record.mailbox().addresses();
  if (record.has_list()) return {record.list().address()};
  if (addresses == nullptr) return {};
  return {addresses->begin(), addresses->end()};
}

std::optional<std::string_view> LoginOf(const v1::Record& record) {
  if (record.has_mailbox()) return record.mailbox().login();
  if (record.has_login_route()) return record.login_route().login();
  if (record.has_account()) return record.account().login();
  return std::nullopt;
}

bool NeedsDriver(const v1::Record& record) {
  return record.has_mailbox() || record.has_account() || record.has_mailbox_transit();
}

}  // namespace prov::state
