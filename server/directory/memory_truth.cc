#include "server/directory/memory_truth.h"

#include <fmt/format.h>

#include <algorithm>

namespace prov::directory {
namespace {

class MemorySnapshot final : public store::ReadSnapshot {
 public:
  explicit MemorySnapshot(MemoryTruth::State state) : state_(std::move(state)) {}
  uint64_t head_revision() const override { return state_.head; }
  uint64_t compacted_revision() const override { return state_.compacted; }

  absl::StatusOr<std::vector<store::Change>> ChangesAfter(uint64_t revision, size_t limit) override {
    std::vector<store::Change> found;
    for (const store::Change& change : state_.changes) {
      if (change.revision > revision && found.size() < limit) found.push_back(change);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Subscriber>> SubscribersById(const std::vector<int64_t>& ids) override {
    std::vector<model::Subscriber> found;
    for (const int64_t id : ids) {
      if (state_.subscribers.contains(id)) found.push_back(state_.subscribers.at(id));
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Domain>> DomainsByName(const std::vector<std::string>& names) override {
    std::vector<model::Domain> found;
    for (const std::string& name : names) {
      if (state_.domains.contains(name)) found.push_back(state_.domains.at(name));
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Subscriber>> SubscribersAfter(int64_t after, size_t limit) override {
    std::vector<model::Subscriber> found;
    for (auto it = state_.subscribers.upper_bound(after);
         it != state_.subscribers.end() && found.size() < limit; ++it) {
      if (it->second.state != model::State::kPurged) found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Domain>> DomainsAfter(const std::string& after, size_t limit) override {
    std::vector<model::Domain> found;
    for (auto it = state_.domains.upper_bound(after); it != state_.domains.end() && found.size() < limit;
         ++it) {
      found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::MailingList>> MailingListsByAddress(
      const std::vector<std::string>& addresses) override {
    std::vector<model::MailingList> found;
    for (const std::string& address : addresses) {
      if (state_.mailing_lists.contains(address)) found.push_back(state_.mailing_lists.at(address));
    }
    return found;
  }
  absl::StatusOr<std::vector<model::MailingList>> MailingListsAfter(const std::string& after,
                                                                    size_t limit) override {
    std::vector<model::MailingList> found;
    for (auto it = state_.mailing_lists.upper_bound(after);
         it != state_.mailing_lists.end() && found.size() < limit; ++it) {
      found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Member>> MembersByKey(const std::vector<std::string>& keys) override {
    std::vector<model::Member> found;
    for (const auto& [name, member] : state_.members) {
      const std::string key = model::MemberKey(name.first, name.second);
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) found.push_back(member);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Member>> MembersAfter(const std::string& pool, const std::string& list,
                                                          const std::string& address, size_t limit) override {
    std::vector<model::Member> found;
    for (auto it = state_.members.upper_bound({list, address});
         it != state_.members.end() && found.size() < limit; ++it) {
      if (it->second.pool == pool) found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::MailboxMove>> MailboxMovesById(const std::vector<int64_t>& ids) override {
    std::vector<model::MailboxMove> found;
    for (const int64_t id : ids) {
      if (const auto it = state_.mailbox_moves.find(id); it != state_.mailbox_moves.end())
        found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::MailboxMove>> OpenMailboxMovesAfter(int64_t after,
                                                                        size_t limit) override {
    std::vector<model::MailboxMove> found;
    for (auto it = state_.mailbox_moves.upper_bound(after);
         it != state_.mailbox_moves.end() && found.size() < limit; ++it) {
      if (it->second.IsOpen()) found.push_back(it->second);
    }
    return found;
  }
  absl::StatusOr<std::vector<model::Pool>> Pools() override { return ValuesOf(state_.pools); }
  absl::StatusOr<std::vector<model::Host>> Hosts() override { return ValuesOf(state_.hosts); }
  absl::StatusOr<uint64_t> EstimatedSubscribers() override { return state_.subscribers.size(); }

 private:
  template <typename Value>
  static std::vector<Value> ValuesOf(const std::map<std::string, Value>& map) {
    std::vector<Value> values;
    for (const auto& [key, value] : map) values.push_back(value);
    return values;
  }

  const MemoryTruth::State state_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<store::ReadSnapshot>> MemoryTruth::OpenSnapshot() {
  const std::lock_guard lock(mutex_);
  if (away_) return absl::UnavailableError("the database is away");
  return std::make_unique<MemorySnapshot>(state_);
}

uint64_t MemoryTruth::head() const {
  const std::lock_guard lock(mutex_);
  return state_.head;
}

// The publisher subscribes; nobody here waits.
uint64_t MemoryTruth::WaitBeyond(uint64_t, std::chrono::milliseconds) { return head(); }

uint64_t MemoryTruth::Subscribe(std::function<void(uint64_t)> listener) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_[++last_listener_] = std::move(listener);
  return last_listener_;
}

void MemoryTruth::Unsubscribe(uint64_t id) {
  const std::lock_guard lock(listeners_mutex_);
  listeners_.erase(id);
}

uint64_t MemoryTruth::Write(const std::function<void(State&, uint64_t revision)>& write) {
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    revision = state_.head + 1;
    write(state_, revision);
    state_.head = revision;
  }
  const std::lock_guard lock(listeners_mutex_);
  for (const auto& [id, listener] : listeners_) listener(revision);
  return revision;
}

uint64_t MemoryTruth::Put(model::Subscriber subscriber) { return PutAll({std::move(subscriber)}); }

uint64_t MemoryTruth::PutAll(std::vector<model::Subscriber> subscribers) {
  return Write([&](State& state, uint64_t revision) {
    for (model::Subscriber& one : subscribers) {
      one.revision = revision;
      state.changes.push_back({revision, store::AggregateKind::kSubscriber, std::to_string(one.id), false});
      state.subscribers[one.id] = std::move(one);
    }
  });
}

uint64_t MemoryTruth::Put(model::Domain domain) {
  return Write([&](State& state, uint64_t revision) {
    domain.revision = revision;
    state.changes.push_back({revision, store::AggregateKind::kDomain, domain.name, false});
    state.domains[domain.name] = std::move(domain);
  });
}

uint64_t MemoryTruth::RemoveDomain(const std::string& name) {
  return Write([&](State& state, uint64_t revision) {
    state.changes.push_back({revision, store::AggregateKind::kDomain, name, true});
    state.domains.erase(name);
  });
}

uint64_t MemoryTruth::Put(model::MailingList list) {
  return Write([&](State& state, uint64_t revision) {
    list.revision = revision;
    state.changes.push_back({revision, store::AggregateKind::kMailingList, list.address, false});
    state.mailing_lists[list.address] = std::move(list);
  });
}

uint64_t MemoryTruth::RemoveMailingList(const std::string& address) {
  return Write([&](State& state, uint64_t revision) {
    state.changes.push_back({revision, store::AggregateKind::kMailingList, address, true});
    state.mailing_lists.erase(address);
  });
}

uint64_t MemoryTruth::Put(model::Member member) {
  return Write([&](State& state, uint64_t revision) {
    member.revision = revision;
    state.changes.push_back(
        {revision, store::AggregateKind::kMember, model::MemberKey(member.list, member.address), false});
    state.members[{member.list, member.address}] = std::move(member);
  });
}

uint64_t MemoryTruth::RemoveMember(const std::string& list, const std::string& address) {
  return Write([&](State& state, uint64_t revision) {
    state.changes.push_back({revision, store::AggregateKind::kMember, model::MemberKey(list, address), true});
    state.members.erase({list, address});
  });
}

uint64_t MemoryTruth::Put(model::Pool pool) {
  return Write([&](State& state, uint64_t revision) {
    pool.revision = revision;
    state.changes.push_back({revision, store::AggregateKind::kPool, pool.id, false});
    state.pools[pool.id] = std::move(pool);
  });
}

uint64_t MemoryTruth::Put(model::Host host) {
  return Write([&](State& state, uint64_t revision) {
    host.revision = revision;
    state.changes.push_back({revision, store::AggregateKind::kHost, host.id, false});
    state.hosts[host.id] = std::move(host);
  });
}

uint64_t MemoryTruth::RemoveHost(const std::string& id) {
  return Write([&](State& state, uint64_t revision) {
    state.changes.push_back({revision, store::AggregateKind::kHost, id, true});
    state.hosts.erase(id);
  });
}

void MemoryTruth::Compact() {
  const std::lock_guard lock(mutex_);
  state_.compacted = state_.head;
  state_.changes.clear();
}

void MemoryTruth::SetAway(bool away) {
  const std::lock_guard lock(mutex_);
  away_ = away;
}

void MemoryTruth::SetHead(uint64_t head) {
  const std::lock_guard lock(mutex_);
  state_.head = head;
}

model::Subscriber TestSubscriber(int64_t id, const std::string& login) {
  model::Subscriber subscriber;
  subscriber.id = id;
  subscriber.uid = fmt::format("00000000-0000-4000-8000-{:012}", id);
  subscriber.login = login;
  subscriber.display_name = fmt::format("Person Number{}", id);
  subscriber.addresses = {login};
  subscriber.store_pool = "main";
  subscriber.uid_number = static_cast<uint32_t>(100000 + id);
  subscriber.password_hash = "secret";  // clear text is a userPassword value, too
  subscriber.credential_version = 1;
  return subscriber;
}

}  // namespace prov::directory
