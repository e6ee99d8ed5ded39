#include "server/directory/batch.h"

#include <fmt/format.h>

#include <utility>

#include "common/status.h"

namespace prov::directory {
namespace {

// A transaction is done again without the record at fault so many times; after that the batch is written
// singly, so that a batch of nothing but bad records costs no more than twice a good one.
constexpr size_t kMostCulprits = 8;

// The record is at fault, rather than the connection, our rights, or somebody who was quicker. NOT_FOUND is
// no record's fault: what we write below was there a moment ago.
bool IsRecordFault(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

class Batch {
 public:
  Batch(Session& session, const std::vector<Item>& items, const BatchOptions& options)
      : session_(session), items_(items), options_(options), next_(session.cursor()) {
    next_.revision = options.next_revision;
    for (const Item& item : items) next_.failing.erase(item.Name());
  }

  absl::Status Publish(std::vector<PlannedWrite> planned) {
    if (!options_.singly && session_.transactional()) {
      PROV_ASSIGN_OR_RETURN(const bool done, PublishAtOnce(planned));
      if (done) return absl::OkStatus();
    }
    return PublishSingly(planned);
  }

  std::vector<Refusal> TakeRefusals() { return std::move(refusals_); }

 private:
  absl::Status SetAside(const PlannedWrite& planned, const absl::Status& error) {
    const Item& item = items_[planned.item];
    next_.failing[item.Name()] = item.revision;
    refusals_.push_back({item.Name(), item.revision, error});
    if (next_.failing.size() > kMostFailing) {
      return absl::FailedPreconditionError(
          fmt::format("the directory refuses more than {} records, {} for one: {}", kMostFailing, item.Name(),
                      MessageOf(error)));
    }
    return absl::OkStatus();
  }

  // False: who is at fault cannot be told like this. Leaves out of `planned` what was set aside.
  absl::StatusOr<bool> PublishAtOnce(std::vector<PlannedWrite>& planned) {
    for (size_t culprits = 0; culprits <= kMostCulprits; ++culprits) {
      if (planned.empty() && next_ == session_.cursor()) return true;
      std::vector<ldap::Write> writes;
      writes.reserve(planned.size() + 1);
      for (const PlannedWrite& one : planned) writes.push_back(one.write);
      ldap::Culprit culprit;
      const absl::Status status = session_.Commit(writes, next_, &culprit);
      if (status.ok()) return true;
      if (!IsRecordFault(status)) return status;
      // "Other" may be about the transaction: slapd 2.5.13 cannot delete the last entry below its parent in
      // one.
      if (absl::IsInternal(status) || !culprit.index.has_value()) return false;
      if (*culprit.index >= planned.size()) return status;  // the cursor itself
      const auto at = planned.begin() + static_cast<ptrdiff_t>(*culprit.index);
      PROV_RETURN_IF_ERROR(SetAside(*at, status));
      planned.erase(at);
    }
    return false;
  }

  // Each write is harmless when it is done again; the cursor says at the end that it need not be.
  absl::Status PublishSingly(const std::vector<PlannedWrite>& planned) {
    for (const PlannedWrite& one : planned) {
      const absl::Status status = session_.Apply(one.write);
      if (status.ok()) continue;
      if (!IsRecordFault(status)) return status;
      PROV_RETURN_IF_ERROR(SetAside(one, status));
    }
    return session_.ApplyCursor(next_);
  }

  Session& session_;
  const std::vector<Item>& items_;
  const BatchOptions& options_;
  Cursor next_;
  std::vector<Refusal> refusals_;
};

}  // namespace

absl::StatusOr<std::vector<Refusal>> PublishBatch(Session& session, const std::vector<Item>& items,
                                                  const BatchOptions& options) {
  PROV_ASSIGN_OR_RETURN(const std::vector<ldap::Entry> current, session.FindCurrent(items));
  Batch batch(session, items, options);
  PROV_RETURN_IF_ERROR(batch.Publish(Plan(items, current)));
  return batch.TakeRefusals();
}

}  // namespace prov::directory
