// One message of a queue while it is not finished, and what came of an attempt. For the runner's own files.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "agents/mail/queue/hop_concurrency.h"
#include "agents/mail/queue/runner.h"
#include "agents/mail/queue/transport.h"

namespace prov::queue {

struct Runner::Entry {
  StoredMessage message;
  std::set<size_t> busy;                          // recipients being delivered
  Time planned;                                   // its place in planned_; the epoch: none
  bool dead = false;                              // somebody could be neither reached nor told
  bool fresh = false;                             // of this process, and not tried yet
  bool dropped = false;                           // by an operator
  size_t pins = 0;                                // held by who waits for something: is not to be parked
  bool unrecorded = false;                        // more is known here than its file says
  std::chrono::steady_clock::time_point flushed;  // by an operator; rests that began before are over

  bool Done() const {
    const auto& recipients = message.envelope.recipients;
    return std::none_of(recipients.begin(), recipients.end(),
                        [](const Recipient& r) { return r.state == State::kPending; });
  }
  // An operator's word: not to be tried, nor given up.
  bool Stays() const { return message.held || dropped; }
};

// Keeps a message in memory while somebody waits with it in hand: a copy that was read anew meanwhile would
// be another one.
class Runner::Pin {
 public:
  explicit Pin(EntryPtr entry) : entry_(std::move(entry)) { ++entry_->pins; }
  Pin(Pin&&) noexcept = default;
  Pin& operator=(Pin&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Pin() {
    if (entry_) --entry_->pins;
  }

  Entry* operator->() const { return entry_.get(); }
  const EntryPtr& entry() const { return entry_; }

 private:
  EntryPtr entry_;
};

// What came of an attempt for one recipient.
struct Runner::Result {
  size_t recipient = 0;
  Outcome outcome;
  bool soon = false;
  bool shares_our_view = false;
  bool postponed = false;             // not tried: no attempt
  bool expired = false;               // tried for too long
  std::chrono::milliseconds rest{0};  // when postponed: how long the hop still rests
  std::string hop;
};

struct Runner::Job {
  EntryPtr entry;
  route::NextHop hop;
  std::vector<size_t> recipients;
  std::vector<std::string> addresses;
  bool fresh = false;
};

struct Runner::Hop {
  std::string name;
  std::deque<Job> jobs;
  size_t fresh_jobs = 0;  // of them; they stand in front
  size_t workers = 0;
  HopConcurrency concurrency;
  bool waits = false;  // for its turn: all deliveries that may be are under way
  std::chrono::steady_clock::time_point rests_since, rests_until;
};

}  // namespace prov::queue
