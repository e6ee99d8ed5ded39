#include "server/api/mail_trace.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "common/grpc_status.h"
#include "common/status.h"

namespace prov::api {
namespace {

using google::protobuf::util::TimeUtil;

constexpr size_t kMostAtOnce = 16;  // hosts
constexpr size_t kMostTraces = 1000;
// A forward is another message, which the hosts that took it know by the one it follows. So many in a row.
constexpr int kMostRounds = 5;

// What one host said, in some rounds.
struct HostAnswer {
  const model::Host* host = nullptr;
  std::unique_ptr<v1::HostControl::Stub> stub;
  std::set<std::string> known;  // traces
  std::vector<v1::MailEvent> events;
  absl::Status status;
  bool cut = false;
};

void Ask(const grpc::ServerContext& caller, const v1::ReadTraceRequest& request, HostAnswer& answer) {
  const auto context = HostDialling::ContextFor(caller);
  const auto stream = answer.stub->ReadTrace(context.get(), request);
  v1::ReadTraceResponse page;
  while (stream->Read(&page)) {
    answer.cut = answer.cut || page.cut();
    for (v1::MailEvent& event : *page.mutable_events()) {
      if (answer.events.size() >= kMostEventsOfHost) {
        answer.cut = true;
        continue;
      }
      event.set_host(answer.host->id);
      answer.known.insert(event.trace());
      answer.events.push_back(std::move(event));
    }
  }
  answer.status = HostDialling::Explain(*answer.host, FromGrpcStatus(stream->Finish()));
}

// Runs it for each, some at a time.
void ForEach(std::vector<HostAnswer>& answers, const std::function<void(HostAnswer&)>& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < answers.size(); i = next++) work(answers[i]);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(answers.size(), kMostAtOnce); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
}

// For each host: what only others have told of.
v1::ReadTraceRequest Others(const std::set<std::string>& all, const HostAnswer& answer) {
  v1::ReadTraceRequest request;
  for (const std::string& trace : all) {
    if (static_cast<size_t>(request.traces_size()) == kMostTraces) break;
    if (!answer.known.contains(trace)) request.add_traces(trace);
  }
  return request;
}

// Asks each host for what the others know by now. False: there was nothing to ask.
bool AskOfOthers(const grpc::ServerContext& caller, std::vector<HostAnswer>& answers) {
  std::set<std::string> all;
  for (const HostAnswer& answer : answers) all.insert(answer.known.begin(), answer.known.end());
  std::atomic<bool> asked{false};
  ForEach(answers, [&](HostAnswer& answer) {
    const v1::ReadTraceRequest others = Others(all, answer);
    if (!answer.status.ok() || others.traces_size() == 0) return;
    asked = true;
    answer.known.insert(others.traces().begin(), others.traces().end());
    Ask(caller, others, answer);
  });
  return asked;
}

}  // namespace

void SortByMessage(std::vector<v1::MailEvent>& events) {
  std::map<std::string, int64_t> begins;
  const auto time = [](const v1::MailEvent& event) {
    return TimeUtil::TimestampToMilliseconds(event.time());
  };
  for (const v1::MailEvent& event : events) {
    const auto [begin, added] = begins.emplace(event.trace(), time(event));
    if (!added) begin->second = std::min(begin->second, time(event));
  }
  std::stable_sort(events.begin(), events.end(), [&](const v1::MailEvent& a, const v1::MailEvent& b) {
    return std::tuple(begins[a.trace()], a.trace(), time(a)) <
           std::tuple(begins[b.trace()], b.trace(), time(b));
  });
}

GatheredTrace GatherTrace(const HostDialling& dialling, const grpc::ServerContext& caller,
                          const std::vector<model::Host>& hosts, const v1::ReadTraceRequest& request) {
  std::vector<HostAnswer> answers(hosts.size());
  for (size_t i = 0; i < hosts.size(); ++i) answers[i].host = &hosts[i];
  ForEach(answers, [&](HostAnswer& answer) {
    auto stub = dialling.Connect(*answer.host);
    answer.status = stub.status();
    if (!stub.ok()) return;
    answer.stub = *std::move(stub);
    answer.known.insert(request.traces().begin(), request.traces().end());
    Ask(caller, request, answer);
  });
  for (int round = 1; round < kMostRounds && AskOfOthers(caller, answers); ++round) {
  }
  GatheredTrace gathered;
  for (HostAnswer& answer : answers) {
    gathered.cut = gathered.cut || answer.cut;
    std::move(answer.events.begin(), answer.events.end(), std::back_inserter(gathered.events));
    if (answer.status.ok()) continue;
    v1::UnansweredHost& unanswered = gathered.unanswered.emplace_back();
    unanswered.set_host(answer.host->id);
    unanswered.set_reason(std::string(MessageOf(answer.status)));
  }
  SortByMessage(gathered.events);
  return gathered;
}

}  // namespace prov::api
