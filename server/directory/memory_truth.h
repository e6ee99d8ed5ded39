// For tests: a truth in memory behind the store's interfaces, to put any record and any fault in.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/store/publisher_turn.h"
#include "server/store/read_snapshot.h"
#include "server/store/revision_watch.h"

namespace prov::directory {

// Thread-safe.
class MemoryTruth final : public store::SnapshotSource, public store::RevisionWatch {
 public:
  absl::StatusOr<std::unique_ptr<store::ReadSnapshot>> OpenSnapshot() override;
  uint64_t head() const override;
  uint64_t WaitBeyond(uint64_t revision, std::chrono::milliseconds timeout) override;
  uint64_t Subscribe(std::function<void(uint64_t)> listener) override;
  void Unsubscribe(uint64_t id) override;

  // Each is a write with the next revision, which it returns.
  uint64_t Put(model::Subscriber subscriber);
  uint64_t Put(model::Domain domain);
  uint64_t Put(model::MailingList list);
  uint64_t RemoveMailingList(const std::string& address);
  uint64_t Put(model::Member member);
  uint64_t RemoveMember(const std::string& list, const std::string& address);
  uint64_t RemoveDomain(const std::string& name);
  uint64_t Put(model::Pool pool);
  uint64_t Put(model::Host host);
  uint64_t RemoveHost(const std::string& id);
  // One revision for all of them.
  uint64_t PutAll(std::vector<model::Subscriber> subscribers);

  void Compact();               // the change log reaches back to the present only
  void SetAway(bool away);      // OpenSnapshot fails
  void SetHead(uint64_t head);  // as after a restore

  struct State {
    uint64_t head = 0;
    uint64_t compacted = 0;
    std::map<int64_t, model::Subscriber> subscribers;
    std::map<std::string, model::Domain> domains;
    std::map<std::string, model::MailingList> mailing_lists;
    std::map<int64_t, model::MailboxMove> mailbox_moves;
    std::map<std::pair<std::string, std::string>, model::Member> members;
    std::map<std::string, model::Pool> pools;
    std::map<std::string, model::Host> hosts;
    std::vector<store::Change> changes;
  };

 private:
  uint64_t Write(const std::function<void(State&, uint64_t revision)>& write);

  mutable std::mutex mutex_;
  State state_;
  bool away_ = false;
  std::mutex listeners_mutex_;
  uint64_t last_listener_ = 0;
  std::map<uint64_t, std::function<void(uint64_t)>> listeners_;
};

// The turn as a test gives it.
class MemoryTurn final : public store::PublisherTurn {
 public:
  bool Hold() override { return ours; }
  void Release() override {}
  std::atomic<bool> ours{true};
};

// A plain active subscriber with password "secret".
model::Subscriber TestSubscriber(int64_t id, const std::string& login);

}  // namespace prov::directory
