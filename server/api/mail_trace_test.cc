#include "server/api/mail_trace.h"

#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

namespace prov::api {
namespace {

v1::MailEvent Event(const std::string& host, const std::string& trace, int64_t milliseconds) {
  v1::MailEvent event;
  event.set_host(host);
  event.set_trace(trace);
  *event.mutable_time() = google::protobuf::util::TimeUtil::MillisecondsToTimestamp(milliseconds);
  return event;
}

TEST(MailTrace, MessagesComeInTheOrderInWhichTheyBeganEachInTheOrderOfTime) {
  std::vector<v1::MailEvent> events = {Event("relay1", "late", 50),  Event("relay1", "early", 10),
                                       Event("relay1", "early", 70), Event("store1", "late", 55),
                                       Event("store1", "early", 60), Event("relay2", "same", 10)};
  SortByMessage(events);
  std::string order;
  for (const v1::MailEvent& event : events) order += event.trace() + " " + event.host() + ", ";
  EXPECT_EQ(order, "early relay1, early store1, early relay1, same relay2, late relay1, late store1, ");
}

}  // namespace
}  // namespace prov::api
