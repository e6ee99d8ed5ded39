#include "server/api/change_stream.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "common/status.h"

namespace prov::api {
namespace {

constexpr size_t kPageChanges = 500;

std::string ResourceOf(const store::Change& change) {
  switch (change.kind) {
    case store::AggregateKind::kSubscriber:
      return "subscribers/" + change.key;
    case store::AggregateKind::kDomain:
      return "domains/" + change.key;
    case store::AggregateKind::kPool:
      return "pools/" + change.key;
    case store::AggregateKind::kHost:
      return "hosts/" + change.key;
    case store::AggregateKind::kMailingList:
      return "lists/" + change.key;
  }
  return change.key;
}

v1::Change ToProto(const store::Change& change) {
  v1::Change proto;
  proto.set_revision(change.revision);
  proto.set_resource(ResourceOf(change));
  proto.set_removed(change.removed);
  return proto;
}

}  // namespace

void ChangeStream::NoteMoved() {
  const std::lock_guard lock(mutex_);
  wanted_ = true;
  Pump();
}

void ChangeStream::Pump() {
  if (!CanWrite()) return;
  if (!page_.empty()) {
    v1::Change change = ToProto(page_.front());
    page_.pop_front();
    return Write(std::move(change));
  }
  if (!wanted_ || reading_) return;
  wanted_ = false;
  reading_ = true;
  workers_.Post([self = std::static_pointer_cast<ChangeStream>(shared_from_this())] { self->ReadPage(); });
}

absl::StatusOr<std::vector<store::Change>> ChangeStream::ReadChanges(uint64_t after) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, snapshots_.OpenSnapshot());
  if (after < snapshot->compacted_revision()) {
    return absl::OutOfRangeError(
        fmt::format("the change log reaches back to revision {} only; list what there is, and "
                    "watch from revision {}",
                    snapshot->compacted_revision(), snapshot->head_revision()));
  }
  return snapshot->ChangesAfter(after, kPageChanges);
}

void ChangeStream::ReadPage() {
  // Only who set reading_ moves position_.
  absl::StatusOr<std::vector<store::Change>> changes = ReadChanges(position_);
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (!changes.ok()) return EndLocked(changes.status());
  if (!changes->empty()) {
    position_ = changes->back().revision;
    wanted_ = true;  // there may be another page
    page_.assign(changes->begin(), changes->end());
  }
  Pump();
}

}  // namespace prov::api
