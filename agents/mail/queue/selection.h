// Which messages of a queue somebody means. Pure.
#pragma once

#include <string>
#include <vector>

#include "agents/mail/queue/message_format.h"

namespace prov::queue {

constexpr size_t kMostSelectedIds = 1000;

// All that is said must hold; addresses and domains are folded.
struct Selection {
  std::vector<std::string> ids;  // empty: whatever their ids
  std::string recipient;         // one who still waits for it
  std::string recipient_domain;  // of one who still waits for it
  std::string sender;            // "<>": the null sender
  bool all = false;              // said when nothing else is

  bool SaysNothing() const {
    return ids.empty() && recipient.empty() && recipient_domain.empty() && sender.empty() && !all;
  }
};

// Folds addresses and domains. INVALID_ARGUMENT for what is no id, for too many of them, for nothing said,
// and for `all` beside something else.
absl::StatusOr<Selection> CheckSelection(Selection selection);

bool Matches(const Selection& selection, const Envelope& envelope);

}  // namespace prov::queue
