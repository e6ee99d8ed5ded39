#include "server/store/read_snapshot_postgres.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <utility>

#include "common/status.h"
#include "server/store/postgres_error.h"
#include "server/store/rows.h"

namespace prov::store {
namespace {

using SnapshotTransaction = pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>;

class PostgresSnapshot final : public ReadSnapshot {
 public:
  explicit PostgresSnapshot(ConnectionPool::Lease lease)
      : lease_(std::move(lease)), read_(std::make_unique<SnapshotTransaction>(*lease_)) {
    const pqxx::row row = read_->exec1("SELECT value, compacted FROM prov.revision");
    head_ = row[0].as<uint64_t>();
    compacted_ = row[1].as<uint64_t>();
  }

  uint64_t head_revision() const override { return head_; }
  uint64_t compacted_revision() const override { return compacted_; }

  absl::StatusOr<std::vector<Change>> ChangesAfter(uint64_t revision, size_t limit) override {
    return Guarded("read the change log", [&]() -> absl::StatusOr<std::vector<Change>> {
      // A revision is never torn between two pages: a write with several changes comes whole, even beyond the
      // limit.
      const pqxx::result rows = read_->exec_params(
          "SELECT revision, kind, key, removed, (date_part('epoch', time) * 1e6)::bigint FROM prov.change "
          "WHERE revision > $1 AND revision <= "
          "COALESCE((SELECT revision FROM prov.change WHERE revision > $1 ORDER BY revision OFFSET $2 - 1 "
          "LIMIT 1), "
          "9223372036854775807) ORDER BY revision, kind, key",
          revision, limit);
      std::vector<Change> changes;
      for (const auto& row : rows) {
        changes.push_back({row[0].as<uint64_t>(), static_cast<AggregateKind>(row[1].as<int>()),
                           row[2].as<std::string>(), row[3].as<bool>(),
                           model::Time(std::chrono::microseconds(row[4].as<int64_t>()))});
      }
      return changes;
    });
  }

  absl::StatusOr<std::vector<model::Subscriber>> SubscribersById(const std::vector<int64_t>& ids) override {
    return Subscribers("s.id = ANY ($1::bigint[])", ToArray(ids));
  }

  absl::StatusOr<std::vector<model::Subscriber>> SubscribersAfter(int64_t after, size_t limit) override {
    return Subscribers("s.id > $1 AND s.state <> 'purged' ORDER BY s.id LIMIT $2", after, limit);
  }

  absl::StatusOr<std::vector<model::Domain>> DomainsByName(const std::vector<std::string>& names) override {
    return Domains("name IN (SELECT jsonb_array_elements_text($1::jsonb))", ToJson(names));
  }

  absl::StatusOr<std::vector<model::Domain>> DomainsAfter(const std::string& after, size_t limit) override {
    return Domains("name > $1 ORDER BY name LIMIT $2", after, limit);
  }

  absl::StatusOr<std::vector<model::MailingList>> MailingListsByAddress(
      const std::vector<std::string>& addresses) override {
    return MailingLists("l.address IN (SELECT jsonb_array_elements_text($1::jsonb))", ToJson(addresses));
  }

  absl::StatusOr<std::vector<model::MailingList>> MailingListsAfter(const std::string& after,
                                                                    size_t limit) override {
    return MailingLists("l.address > $1 ORDER BY l.address LIMIT $2", after, limit);
  }

  absl::StatusOr<std::vector<model::Member>> MembersByKey(const std::vector<std::string>& keys) override {
    return ReadMembers(
        fmt::format(
            "SELECT {} FROM prov.mailing_list_member m JOIN prov.mailing_list l ON l.address = m.list WHERE "
            "(m.list, m.address) IN (SELECT split_part(key, '/', 1), split_part(key, '/', 3) "
            "FROM jsonb_array_elements_text($1::jsonb) AS key)",
            kMemberColumns),
        ToJson(keys));
  }

  absl::StatusOr<std::vector<model::Member>> MembersAfter(const std::string& pool, const std::string& list,
                                                          const std::string& address, size_t limit) override {
    // List by list, each from its place in the index: a join would be planned as one, and may read all
    // members for a page of them.
    return ReadMembers(
        fmt::format(
            "SELECT {} FROM prov.mailing_list l CROSS JOIN LATERAL (SELECT * FROM prov.mailing_list_member "
            "WHERE list = l.address AND address > CASE WHEN l.address = $2 THEN $3 ELSE '' END "
            "ORDER BY address LIMIT $4) m "
            "WHERE l.pool = $1 AND l.address >= $2 ORDER BY l.address, m.address LIMIT $4",
            kMemberColumns),
        pool, list, address, limit);
  }

  absl::StatusOr<std::vector<model::MailboxMove>> MailboxMovesById(const std::vector<int64_t>& ids) override {
    return MailboxMoves("m.id = ANY ($1::bigint[])", ToArray(ids));
  }

  absl::StatusOr<std::vector<model::MailboxMove>> OpenMailboxMovesAfter(int64_t after,
                                                                        size_t limit) override {
    return MailboxMoves("m.id > $1 AND m.state IN ('copying', 'switching') ORDER BY m.id LIMIT $2", after,
                        limit);
  }

  absl::StatusOr<std::vector<model::Pool>> Pools() override {
    return Guarded("read pools", [&]() -> absl::StatusOr<std::vector<model::Pool>> {
      std::vector<model::Pool> pools;
      for (const auto& row : read_->exec(fmt::format("SELECT {} FROM prov.pool ORDER BY id", kPoolColumns))) {
        pools.push_back(PoolOf(row));
      }
      return pools;
    });
  }

  absl::StatusOr<std::vector<model::Host>> Hosts() override {
    return Guarded("read hosts", [&]() -> absl::StatusOr<std::vector<model::Host>> {
      std::vector<model::Host> hosts;
      for (const auto& row : read_->exec(fmt::format("SELECT {} FROM prov.host ORDER BY id", kHostColumns))) {
        hosts.push_back(HostOf(row));
      }
      return hosts;
    });
  }

  absl::StatusOr<uint64_t> EstimatedSubscribers() override {
    return Guarded("estimate subscribers", [&]() -> absl::StatusOr<uint64_t> {
      // The planner's own figure; -1 before the first ANALYZE.
      return read_
          ->exec1(
              "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'prov.subscriber'::regclass")
              [0]
          .as<uint64_t>();
    });
  }

 private:
  template <typename... Arguments>
  absl::StatusOr<std::vector<model::Subscriber>> Subscribers(std::string_view where,
                                                             const Arguments&... arguments) {
    return Guarded("read subscribers", [&]() -> absl::StatusOr<std::vector<model::Subscriber>> {
      const std::string sql =
          fmt::format("SELECT {} FROM prov.subscriber s JOIN prov.domain d ON d.name = s.domain WHERE {}",
                      kSubscriberColumns, where);
      std::vector<model::Subscriber> subscribers;
      for (const auto& row : read_->exec_params(sql, arguments...)) subscribers.push_back(SubscriberOf(row));
      return subscribers;
    });
  }

  template <typename... Arguments>
  absl::StatusOr<std::vector<model::Domain>> Domains(std::string_view where, const Arguments&... arguments) {
    return Guarded("read domains", [&]() -> absl::StatusOr<std::vector<model::Domain>> {
      const std::string sql = fmt::format("SELECT {} FROM prov.domain WHERE {}", kDomainColumns, where);
      std::vector<model::Domain> domains;
      for (const auto& row : read_->exec_params(sql, arguments...)) domains.push_back(DomainOf(row));
      return domains;
    });
  }

  template <typename... Arguments>
  absl::StatusOr<std::vector<model::MailingList>> MailingLists(std::string_view where,
                                                               const Arguments&... arguments) {
    return Guarded("read mailing lists", [&]() -> absl::StatusOr<std::vector<model::MailingList>> {
      const std::string sql =
          fmt::format("SELECT {} FROM prov.mailing_list l WHERE {}", kMailingListColumns, where);
      std::vector<model::MailingList> lists;
      for (const auto& row : read_->exec_params(sql, arguments...)) lists.push_back(MailingListOf(row));
      return lists;
    });
  }

  template <typename... Arguments>
  absl::StatusOr<std::vector<model::MailboxMove>> MailboxMoves(std::string_view where,
                                                               const Arguments&... arguments) {
    return Guarded("read moves", [&]() -> absl::StatusOr<std::vector<model::MailboxMove>> {
      const std::string sql = fmt::format(
          "SELECT {} FROM prov.mailbox_move m JOIN prov.subscriber s ON s.id = m.subscriber_id WHERE {}",
          kMailboxMoveColumns, where);
      std::vector<model::MailboxMove> moves;
      for (const auto& row : read_->exec_params(sql, arguments...)) moves.push_back(MailboxMoveOf(row));
      return moves;
    });
  }

  // `sql` joins lists that are there: members of a removed one go by and by.
  template <typename... Arguments>
  absl::StatusOr<std::vector<model::Member>> ReadMembers(const std::string& sql,
                                                         const Arguments&... arguments) {
    return Guarded("read members", [&]() -> absl::StatusOr<std::vector<model::Member>> {
      std::vector<model::Member> members;
      for (const auto& row : read_->exec_params(sql, arguments...)) members.push_back(MemberOf(row));
      return members;
    });
  }

  ConnectionPool::Lease lease_;
  std::unique_ptr<SnapshotTransaction> read_;  // ends before the lease
  uint64_t head_ = 0;
  uint64_t compacted_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ReadSnapshot>> PostgresSnapshotSource::OpenSnapshot() {
  PROV_ASSIGN_OR_RETURN(ConnectionPool::Lease lease, pool_.Acquire());
  return Guarded("open a snapshot", [&]() -> absl::StatusOr<std::unique_ptr<ReadSnapshot>> {
    return std::make_unique<PostgresSnapshot>(std::move(lease));
  });
}

}  // namespace prov::store
