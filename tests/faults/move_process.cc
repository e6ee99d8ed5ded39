// For tests: the new place of a mailbox that moves, without a network: brings box-1 from one Maildir root to
// another, as often as it takes.
//
//   move_process OLD_ROOT NEW_ROOT
//
// Ends with 0 (it has arrived) or 4 (it cannot be brought; it says why).
#include <fmt/format.h>

#include <cstdio>

#include "agents/moves/mailbox_arrival.h"
#include "agents/moves/testing/near_source.h"
#include "common/status.h"

namespace prov {
namespace {

constexpr int kDone = 0, kFailing = 4;
constexpr const char* kMailbox = "box-1";
constexpr int kMostTries = 4;  // one fault is met once or twice

int Main(const std::string& old_root, const std::string& new_root) {
  moves::NearSource source(old_root, kMailbox);
  v1::MailboxTransit transit;
  transit.set_mailbox_id(kMailbox);
  transit.set_from_pool("main");
  transit.set_to_pool("second");
  const moves::ArrivalParts parts = {
      .root = new_root, .owner = {}, .source = &source, .report = [](auto...) { return absl::OkStatus(); }};
  for (const bool switching : {false, true}) {
    transit.set_switching(switching);
    absl::Status status = moves::BringMailbox(transit, parts);
    for (int tries = 1; !status.ok() && tries < kMostTries; ++tries)
      status = moves::BringMailbox(transit, parts);
    if (status.ok()) continue;
    fmt::print(stderr, "move_process: {}\n", MessageOf(status));
    return kFailing;
  }
  return kDone;
}

}  // namespace
}  // namespace prov

int main(int argc, char** argv) {
  if (argc == 3) return prov::Main(argv[1], argv[2]);
  fmt::print(stderr, "usage: move_process OLD_ROOT NEW_ROOT\n");
  return prov::kFailing;
}
