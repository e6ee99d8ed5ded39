// What an agent asks of the engine beside it: one line of JSON, answered by lines of JSON. Pure.
//
//   {"do": "list", "selection": {"recipient_domain": "example.net"}, "limit": 1000}
//   {"do": "hold", "selection": {"ids": ["018f…"]}, "by": "operator/mary"}      release, drop, flush;
//   "rehearse"
//   {"do": "trace", "address": "alice@example.net", "since": 1700000000123, "limit": 100, "traces":
//   ["018f…"]}
//
// Answers: {"message": {…}} for each message, {"event": {…}} for each line of the trace; the last line is
// {"end": {…}} or {"error": "…", "code": 9}. Without it the answer is not whole. Times are milliseconds since
// 1970.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/trace_query.h"

namespace prov::control {

constexpr size_t kMaxRequestOctets = 128 << 10;  // of the line; a thousand ids fit
constexpr uint64_t kMostListed = 1'000'000;
constexpr size_t kMostListedRecipients = 100;  // of one message

struct ListRequest {
  queue::Selection selection;
  uint64_t limit = kMostListed;
};

using Request = std::variant<ListRequest, queue::Runner::Change, queue::TraceQuery>;

// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<Request> ParseRequest(std::string_view line);

// Each with its line end.
std::string MessageLine(std::string_view queue, const queue::StoredMessage& message);
std::string EventLine(std::string_view line_of_trace);
std::string ListEndLine(uint64_t queued, bool cut, bool reading);
std::string ChangeEndLine(const queue::Runner::Changed& changed, bool reading);
std::string TraceEndLine(bool cut);
std::string ErrorLine(const absl::Status& status);

}  // namespace prov::control
