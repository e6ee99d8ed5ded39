#include "server/api/change_stream.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
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
    case store::AggregateKind::kMailboxMove:
      return "moves/" + change.key;
    case store::AggregateKind::kMailingList:
    case store::AggregateKind::kMember:
      return "lists/" + change.key;
  }
  return change.key;
}

v1::Change ToProto(const store::Change& change) {
  v1::Change proto;
  proto.set_revision(change.revision);
  proto.set_resource(ResourceOf(change));
  proto.set_removed(change.removed);
  *proto.mutable_time() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::microseconds>(change.time.time_since_epoch()).count());
  return proto;
}

}  // namespace

void ChangeStream::Begin() {
  const std::lock_guard lock(mutex_);
  wanted_ = true;
  Pump();
}

void ChangeStream::NoteHead(uint64_t head_revision) {
  const std::lock_guard lock(mutex_);
  if (!reading_ && head_revision <= position_) return;
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

absl::StatusOr<feed::ChangePage> ChangeStream::TryReadPage(uint64_t after) {
  PROV_ASSIGN_OR_RETURN(const std::unique_ptr<store::ReadSnapshot> snapshot, snapshots_.OpenSnapshot());
  if (after < snapshot->compacted_revision()) {
    return absl::OutOfRangeError(
        fmt::format("the change log reaches back to revision {} only; list what there is, and "
                    "watch from revision {}",
                    snapshot->compacted_revision(), snapshot->head_revision()));
  }
  if (after > snapshot->head_revision()) {
    return absl::OutOfRangeError(
        fmt::format("revision {} is not written yet; the newest is {}", after, snapshot->head_revision()));
  }
  return feed::ReadChangePage(*snapshot, after, kPageChanges);
}

void ChangeStream::ReadPage() {
  absl::StatusOr<feed::ChangePage> page = TryReadPage(position_);
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (!page.ok()) return EndLocked(page.status());
  position_ = page->to_revision;
  wanted_ = wanted_ || !page->changes.empty();  // there may be another page
  page_.assign(page->changes.begin(), page->changes.end());
  Pump();
}

}  // namespace prov::api
