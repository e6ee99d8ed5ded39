// What changes the host so that it follows its copy of the view: accounts, maildirs, homes, web
// sites.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agents/state/writer.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::drivers {

// One item on its way through the drivers of its role.
struct Work {
  state::PendingItem item;
  absl::Status status;  // the first error; drivers leave an item alone that has one
};

// Of what Flush writes whole from what is on the host.
struct Difference {
  std::string file;
  std::string text;  // for people
};

// What a driver keeps on the host for no record in particular, and has not made as it should be.
struct Unfinished {
  std::string file;
  std::string error;                               // for people; empty: it only waits for its time
  std::chrono::steady_clock::time_point retry_at;  // Flush tries again from then on
};

// Thread-safe.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string_view name() const = 0;

  // Makes the host follow one item. Idempotent: "already so" and "already gone" are OK. Durable when it
  // returns, unless the driver gathers: then after Flush. Different keys may be applied side by side.
  virtual absl::Status Apply(const state::PendingItem& item) = 0;

  // For drivers that gather: makes durable what was applied before, and sets the status of what turns out
  // not to fit. An error stands for all of `works`. May wait for a second.
  virtual absl::Status Flush(std::vector<Work>& works) { return absl::OkStatus(); }

  // How the host differs from what the record wants, for people; empty: not at all. Changes nothing. An error
  // says that it could not be looked at. Different records may be inspected side by side.
  virtual absl::StatusOr<std::string> Inspect(const v1::Record& record) = 0;

  // The same for what Flush writes whole, as far as no record stands for it.
  virtual absl::StatusOr<std::vector<Difference>> InspectWhole() { return std::vector<Difference>(); }
  // Has the next Flush write it, whatever came before.
  virtual void Redo() {}
  // What Flush left undone without an error, for it is no item's fault.
  virtual std::optional<Unfinished> GetUnfinished() { return std::nullopt; }
};

}  // namespace prov::drivers
