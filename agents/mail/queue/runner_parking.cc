// Runner: messages beyond what memory is for lie on disk alone until their time comes.
#include <algorithm>
#include <asio/use_awaitable.hpp>
#include <utility>

#include "agents/mail/queue/runner_entry.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::queue {
namespace {

// What cannot be read is tried again after so long.
constexpr std::chrono::minutes kUnreadablePause{1};

}  // namespace

// Only what its file tells in full is parked.
void Runner::ParkIfMany(const EntryPtr& entry) {
  if (entries_.size() <= options_.most_in_memory || entry->fresh || entry->dropped || entry->unrecorded ||
      entry->pins > 0 || !entry->busy.empty())
    return;
  parked_.emplace(entry->message.envelope.id,
                  Parked{entry->planned, entry->flushed, entry->message.held, ++parkings_});
  entries_.erase(entry->message.envelope.id);
}

// The message as it was read from its file. Null: it is not parked any more, but taken or finished.
Runner::EntryPtr Runner::Unpark(StoredMessage message) {
  const auto parked = parked_.find(message.envelope.id);
  if (parked == parked_.end()) return nullptr;
  auto entry = std::make_shared<Entry>();
  entry->message = std::move(message);
  entry->message.held = parked->second.held;
  entry->planned = parked->second.planned;
  entry->flushed = parked->second.flushed;
  Envelope& envelope = entry->message.envelope;
  Recipient* first = nullptr;
  for (Recipient& recipient : envelope.recipients) {
    entry->dead |= envelope.sender.empty() && recipient.state == State::kFailed;
    if (recipient.state == State::kPending && (first == nullptr || recipient.due < first->due))
      first = &recipient;
  }
  // An operator may have hurried it since its journal was written.
  if (first != nullptr && entry->planned != Time()) first->due = std::min(first->due, entry->planned);
  parked_.erase(parked);
  entries_.emplace(envelope.id, entry);
  return entry;
}

asio::awaitable<std::vector<StoredMessage>> Runner::Load(std::vector<std::string> ids) {
  co_return co_await net::RunBlocking(pool_, [&] {
    std::vector<StoredMessage> messages;
    for (const std::string& id : ids) {
      auto message = spool_.Load(id);
      if (message.ok()) {
        messages.push_back(*std::move(message));
      } else if (!absl::IsNotFound(message.status())) {
        Log(Level::kError, "queue_file_unreadable", {{"id", id}, {"error", message.status()}});
      }
    }
    return messages;
  });
}

// For its attempt. Null: not now; it is planned anew, or is gone.
asio::awaitable<Runner::EntryPtr> Runner::Take(std::string id) {
  if (const auto entry = entries_.find(id); entry != entries_.end()) co_return entry->second;
  const auto before = parked_.find(id);
  const uint64_t version = before == parked_.end() ? 0 : before->second.version;
  std::vector<std::string> ids{id};
  std::vector<StoredMessage> messages = co_await Load(std::move(ids));
  const bool there = co_await net::RunBlocking(pool_, [&] { return spool_.Has(id); });
  if (const auto entry = entries_.find(id); entry != entries_.end()) co_return entry->second;
  const auto parked = parked_.find(id);
  // Finished; or tried and parked again, with another time.
  if (parked == parked_.end() || parked->second.version != version) co_return nullptr;
  if (!messages.empty()) co_return Unpark(std::move(messages.front()));
  planned_.erase({parked->second.planned, id});
  if (there) {
    parked->second.planned = clock_.Now() + kUnreadablePause;
    planned_.insert({parked->second.planned, id});
  } else {
    parked_.erase(parked);  // somebody has removed its file
  }
  co_return nullptr;
}

}  // namespace prov::queue
