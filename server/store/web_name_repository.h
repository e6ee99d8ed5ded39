// Host names at which subscribers' web space is served; a subscriber is read with its own (rows.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/subscriber.h"
#include "server/store/write_queue.h"

namespace prov::store {

// All within a write.
class WebNameRepository {
 public:
  struct Edit {
    int64_t subscriber_id = 0;
    std::vector<std::string> added, removed;
  };
  // Takes away, then gives, in two statements whatever the number. The names that could not be given, for
  // they are another's or are reserved. Save the subscribers after it.
  static absl::StatusOr<std::vector<std::string>> Change(WriteTransaction& write,
                                                         const std::vector<Edit>& edits);
  // Whose each name is: a subscriber's id, or 0 for one that is reserved. A name that is free is absent.
  static absl::StatusOr<std::map<std::string, int64_t>> Owners(WriteTransaction& write,
                                                               const std::vector<std::string>& names);
  // Takes all names away; nobody may have them for `days`.
  static absl::Status Reserve(WriteTransaction& write, int64_t subscriber_id, int days);
  // Those of the domains that are hosted here.
  static absl::StatusOr<std::vector<std::string>> Hosted(WriteTransaction& write,
                                                         const std::vector<std::string>& domains);
};

}  // namespace prov::store
