#include "agents/state/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "agents/state/confirmation.h"
#include "agents/state/lmdb.h"
#include "agents/state/tables.h"
#include "common/status.h"

namespace prov::state {
namespace {

using std::chrono::seconds;

class LmdbReader final : public StateReader {
 public:
  LmdbReader(EnvPtr env, const Tables& tables, ConfirmationFile confirmations)
      : env_(std::move(env)), tables_(tables), confirmations_(std::move(confirmations)) {}

  absl::StatusOr<v1::HostedDomain> FindDomain(v1::Role role, std::string_view domain) override {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByKey(role, fmt::format("domains/{}", domain)));
    if (!record.has_domain()) return absl::NotFoundError("no such domain");
    return std::move(*record.mutable_domain());
  }

  absl::StatusOr<v1::MailRoute> FindMailRoute(std::string_view address) override {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByIndex(v1::RELAY, &RoleTables::addresses, address));
    if (!record.has_mail_route()) return absl::NotFoundError("no such address");
    return std::move(*record.mutable_mail_route());
  }

  absl::StatusOr<v1::Mailbox> FindMailboxByAddress(std::string_view address) override {
    return FindMailbox(&RoleTables::addresses, address);
  }

  absl::StatusOr<v1::Mailbox> FindMailboxByLogin(std::string_view login) override {
    return FindMailbox(&RoleTables::logins, login);
  }

  absl::StatusOr<v1::LoginRoute> FindLoginRoute(std::string_view login) override {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByIndex(v1::POP_PROXY, &RoleTables::logins, login));
    if (!record.has_login_route()) return absl::NotFoundError("no such login");
    return std::move(*record.mutable_login_route());
  }

  absl::StatusOr<v1::MailboxTransit> FindMailboxTransit(const std::string& key) override {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByKey(v1::STORE, key));
    if (!record.has_mailbox_transit()) return absl::NotFoundError("no such move");
    return std::move(*record.mutable_mailbox_transit());
  }

  absl::StatusOr<std::map<std::string, v1::MailboxTransit>> MailboxTransits(std::string_view after,
                                                                            size_t most) override {
    constexpr std::string_view kMoves = "moves/";
    std::map<std::string, v1::MailboxTransit> transits;
    PROV_RETURN_IF_ERROR(Walk(v1::STORE, kMoves, after, [&](std::string_view key, v1::Record& record) {
      transits.emplace(std::string(key), std::move(*record.mutable_mailbox_transit()));
      return transits.size() < most;
    }));
    return transits;
  }

  absl::StatusOr<v1::PoolMembers> FindPool(v1::Role role, std::string_view pool) override {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByKey(role, fmt::format("pools/{}", pool)));
    if (!record.has_pool()) return absl::NotFoundError("no such pool");
    return std::move(*record.mutable_pool());
  }

  bool TakesNewSessions(v1::Role role, std::string_view host) override {
    bool drained = false, others = false;
    const absl::Status walked = Walk(role, "pools/", "", [&](std::string_view, v1::Record& record) {
      if (record.pool().role() != role) return true;
      const auto& members = record.pool().members();
      const auto own = std::find_if(members.begin(), members.end(),
                                    [&](const auto& member) { return member.host() == host; });
      if (own == members.end()) return true;
      drained = own->drained();
      others =
          std::any_of(members.begin(), members.end(), [](const auto& member) { return !member.drained(); });
      return false;
    });
    return !walked.ok() || !drained || !others;
  }

  absl::StatusOr<Freshness> GetFreshness(v1::Role role) override {
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Begin());
    PROV_ASSIGN_OR_RETURN(const RoleCursor cursor, ReadCursor(txn, tables_, role));
    const auto confirmation = confirmations_.Read(role);
    if (!confirmation.ok()) return Unavailable(confirmation.status());
    return Freshness{cursor.received, cursor.applied, confirmation->head_revision, confirmation->confirmed};
  }

 private:
  using Index = MDB_dbi RoleTables::*;

  // Whatever is wrong with the copy, a look-up says: not now.
  static absl::Status Unavailable(const absl::Status& status) {
    if (absl::IsNotFound(status)) return status;
    return absl::UnavailableError(fmt::format("the host's copy cannot be read: {}", MessageOf(status)));
  }

  absl::StatusOr<Transaction> Begin() const {
    auto txn = Transaction::BeginRead(env_.get());
    if (!txn.ok()) return Unavailable(txn.status());
    return txn;
  }

  // A copy that never was whole cannot say that something does not exist.
  absl::Status Missing(const Transaction& txn, v1::Role role) const {
    const auto cursor = ReadCursor(txn, tables_, role);
    if (!cursor.ok()) return Unavailable(cursor.status());
    if (cursor->received == 0) return absl::UnavailableError("the host has no copy of its view yet");
    return absl::NotFoundError("not in the host's view");
  }

  absl::StatusOr<v1::Record> Read(const Transaction& txn, v1::Role role, const RoleTables& role_tables,
                                  std::string_view key) const {
    const auto value = txn.Get(role_tables.records, key);
    if (!value.ok()) return Unavailable(value.status());
    if (!*value) return Missing(txn, role);
    const auto stored = DecodeRecord(**value);
    if (!stored.ok()) return Unavailable(stored.status());
    auto record = ParseRecord(stored->serialised);
    if (!record.ok()) return Unavailable(record.status());
    return record;
  }

  // Records whose keys begin so, those after `after`, until `visit` says false.
  absl::Status Walk(v1::Role role, std::string_view prefix, std::string_view after,
                    const std::function<bool(std::string_view key, v1::Record& record)>& visit) const {
    PROV_ASSIGN_OR_RETURN(const RoleTables* role_tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Begin());
    PROV_ASSIGN_OR_RETURN(Cursor walk, Cursor::Open(txn, role_tables->records));
    PROV_ASSIGN_OR_RETURN(auto entry, walk.Seek(std::max(prefix, after)));
    for (bool more = true; more && entry && entry->key.starts_with(prefix);) {
      if (entry->key != after) {
        PROV_ASSIGN_OR_RETURN(const StoredRecord stored, DecodeRecord(entry->value));
        PROV_ASSIGN_OR_RETURN(v1::Record record, ParseRecord(stored.serialised));
        more = visit(entry->key, record);
      }
      PROV_ASSIGN_OR_RETURN(entry, walk.Next());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::Record> FindByKey(v1::Role role, const std::string& key) const {
    PROV_ASSIGN_OR_RETURN(const RoleTables* role_tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Begin());
    return Read(txn, role, *role_tables, key);
  }

  absl::StatusOr<v1::Record> FindByIndex(v1::Role role, Index index, std::string_view name) const {
    PROV_ASSIGN_OR_RETURN(const RoleTables* role_tables, tables_.Of(role));
    PROV_ASSIGN_OR_RETURN(const Transaction txn, Begin());
    const auto key = txn.Get(role_tables->*index, name);
    if (!key.ok()) return Unavailable(key.status());
    if (!*key) return Missing(txn, role);
    return Read(txn, role, *role_tables, **key);
  }

  absl::StatusOr<v1::Mailbox> FindMailbox(Index index, std::string_view name) const {
    PROV_ASSIGN_OR_RETURN(v1::Record record, FindByIndex(v1::STORE, index, name));
    if (!record.has_mailbox()) return absl::NotFoundError("no such mailbox");
    return std::move(*record.mutable_mailbox());
  }

  const EnvPtr env_;
  const Tables tables_;
  const ConfirmationFile confirmations_;
};

absl::StatusOr<std::unique_ptr<StateReader>> OpenReader(const std::string& directory) {
  PROV_ASSIGN_OR_RETURN(EnvPtr env, OpenEnvironment(directory, false, kDataMode));
  PROV_ASSIGN_OR_RETURN(const Tables tables, Tables::Open(env.get(), false));
  PROV_ASSIGN_OR_RETURN(ConfirmationFile confirmations, ConfirmationFile::Open(directory, false));
  return std::make_unique<LmdbReader>(std::move(env), tables, std::move(confirmations));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateReader>> StateReader::Open(const std::string& directory) {
  auto reader = OpenReader(directory);
  if (reader.ok() || absl::IsDataLoss(reader.status())) return reader;
  return absl::UnavailableError(
      fmt::format("the host's copy in {} cannot be read: {}", directory, MessageOf(reader.status())));
}

bool StateReader::IsCurrent(v1::Role role, std::chrono::system_clock::time_point now, seconds patience) {
  const auto freshness = GetFreshness(role);
  if (!freshness.ok() || freshness->received_revision == 0) return false;
  if (freshness->received_revision < freshness->head_revision) return false;
  const auto age = now - freshness->confirmed;
  // A confirmation from the future is a clock that was set back: it says nothing.
  return age <= patience && age >= -patience;
}

}  // namespace prov::state
