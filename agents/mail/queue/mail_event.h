// What happens to mail, told once: a line of the log for those who watch, one of the trace for those who ask
// later, and one more in the metric prov_mail_events_total.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mail/queue/trace_log.h"
#include "common/log.h"

namespace prov::queue {

// Of a message with more, the others are found by their own events.
constexpr size_t kMostTracedRecipients = 100;

// `fields` should have "trace"; "sender" and "recipient" are what people ask for, and so are `recipients`,
// which the log is spared. `trace` may be null: the log alone.
void TellOfMail(TraceLog* trace, Level level, std::string_view event, std::initializer_list<LogField> fields,
                const std::vector<std::string>& recipients = {});

// A line of the trace: "time" in milliseconds since 1970, "event", then the fields in their order. Pure.
std::string TraceLine(std::chrono::system_clock::time_point time, std::string_view event,
                      std::initializer_list<LogField> fields, const std::vector<std::string>& recipients);

}  // namespace prov::queue
