#include "agents/mail/queue/mail_event.h"

#include <prometheus/counter.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/metrics.h"

namespace prov::queue {

std::string TraceLine(std::chrono::system_clock::time_point time, std::string_view event,
                      std::initializer_list<LogField> fields, const std::vector<std::string>& recipients) {
  nlohmann::ordered_json line;
  line["time"] = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  line["event"] = event;
  for (const LogField& field : fields) line[std::string(field.key)] = field.value;
  if (!recipients.empty()) {
    const auto most = static_cast<std::ptrdiff_t>(std::min(recipients.size(), kMostTracedRecipients));
    line["recipients"] = std::vector<std::string>(recipients.begin(), recipients.begin() + most);
  }
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

namespace {

void Count(std::string_view event) {
  static auto& events = prometheus::BuildCounter()
                            .Name("prov_mail_events_total")
                            .Help("What happened to mail: the events of log and trace.")
                            .Register(*MetricsRegistry());
  events.Add({{"event", std::string(event)}}).Increment();
}

}  // namespace

void TellOfMail(TraceLog* trace, Level level, std::string_view event, std::initializer_list<LogField> fields,
                const std::vector<std::string>& recipients) {
  Count(event);
  Log(level, event, fields);
  if (trace != nullptr) trace->Append(TraceLine(std::chrono::system_clock::now(), event, fields, recipients));
}

}  // namespace prov::queue
