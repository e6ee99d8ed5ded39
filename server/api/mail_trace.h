// What became of mail, gathered from all hosts that had it in their hands.
#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "prov/v1/mail_queues.pb.h"
#include "server/api/host_dialling.h"

namespace prov::api {

// Of one host; more of them are left out, and the answer says so.
constexpr size_t kMostEventsOfHost = 20'000;

struct GatheredTrace {
  // Message by message, in the order in which they came; each in the order of time.
  std::vector<v1::MailEvent> events;
  std::vector<v1::UnansweredHost> unanswered;
  bool cut = false;
};

// Asks the hosts at once, each once more for what others know and it was not asked for: a relay knows a
// message's sender, and the store only its recipient. Blocks.
GatheredTrace GatherTrace(const HostDialling& dialling, const grpc::ServerContext& caller,
                          const std::vector<model::Host>& hosts, const v1::ReadTraceRequest& request);

// Puts them in order.
void SortByMessage(std::vector<v1::MailEvent>& events);

}  // namespace prov::api
