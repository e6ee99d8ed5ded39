// Brings a batch of entries into the directory, and the cursor with them; one bad record stops nobody (I4).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/directory/plan.h"
#include "server/directory/session.h"

namespace prov::directory {

// More set aside than this is no matter of single records: schema, access rules or disk are at fault.
constexpr size_t kMostFailing = 1000;

struct Refusal {
  std::string name;  // Item::Name
  uint64_t revision = 0;
  absl::Status error;
};

struct BatchOptions {
  uint64_t next_revision = 0;  // of the cursor, when all is done
  // One write after the other, the cursor last, even where transactions are offered.
  bool singly = false;
};

// Reads what is there, writes what differs, moves the cursor; items that the directory refuses are added to
// the cursor's failing ones, the others are no longer among them. An error means that the cursor has not
// moved: do it all again later, with a new session where IsRetryable does not say enough.
absl::StatusOr<std::vector<Refusal>> PublishBatch(Session& session, const std::vector<Item>& items,
                                                  const BatchOptions& options);

}  // namespace prov::directory
