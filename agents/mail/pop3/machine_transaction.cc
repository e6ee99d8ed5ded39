// What the machine does once somebody is logged in.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "agents/mail/pop3/machine.h"

namespace prov::pop3 {
namespace {

constexpr uint64_t kMostLines = std::numeric_limits<uint64_t>::max();

// Digits only. Too large for 64 bits is the largest: there is no such message, and no more lines than that.
std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc::result_out_of_range ? kMostLines : value;
}

}  // namespace

void Machine::Stat(std::string_view) { Reply(fmt::format("+OK {} {}", kept_, kept_octets_)); }

void Machine::List(std::string_view argument) { ListOneOrAll(argument, Listing::kOctets); }

void Machine::Uidl(std::string_view argument) { ListOneOrAll(argument, Listing::kUidl); }

void Machine::ListOneOrAll(std::string_view argument, Listing listing) {
  listing_ = listing;
  if (argument.empty()) {
    listing_next_ = 0;
    return Reply(fmt::format("+OK {} messages ({} octets)", kept_, kept_octets_));
  }
  if (const std::optional<size_t> index = MessageAt(argument)) Reply("+OK " + ListingLine(*index));
  listing_ = Listing::kNone;
}

std::string Machine::ListingLine(size_t index) const {
  const maildir::Message& message = (*messages_)[index];
  return listing_ == Listing::kOctets ? fmt::format("{} {}", index + 1, message.octets)
                                      : fmt::format("{} {}", index + 1, message.uidl);
}

void Machine::ContinueListing() {
  for (; listing_next_ < deleted_.size() && output_.size() < kListingChunkOctets; ++listing_next_) {
    if (!deleted_[listing_next_]) Reply(ListingLine(listing_next_));
  }
  if (listing_next_ < deleted_.size()) return;
  Reply(".");
  listing_ = Listing::kNone;
}

std::optional<size_t> Machine::MessageAt(std::string_view argument) {
  const std::optional<uint64_t> number = ParseNumber(argument);
  if (!number) {
    Bad("Not a message number");
  } else if (*number == 0 || *number > deleted_.size()) {
    Reply("-ERR No such message");
  } else if (deleted_[*number - 1]) {
    Reply("-ERR The message is deleted");
  } else {
    return *number - 1;
  }
  return std::nullopt;
}

void Machine::Retr(std::string_view argument) {
  const std::optional<size_t> index = MessageAt(argument);
  if (!index) return;
  Step step;
  step.kind = Step::Kind::kSend;
  step.index = *index;
  asked_ = std::move(step);
}

void Machine::Top(std::string_view argument) {
  const size_t space = argument.find(' ');
  if (space == std::string_view::npos) return Bad("TOP needs a message number and a number of lines");
  const std::optional<uint64_t> lines = ParseNumber(argument.substr(argument.find_first_not_of(' ', space)));
  if (!lines) return Bad("Not a number of lines");
  const std::optional<size_t> index = MessageAt(argument.substr(0, space));
  if (!index) return;
  Step step;
  step.kind = Step::Kind::kSend;
  step.index = *index;
  step.body_lines = lines;
  asked_ = std::move(step);
}

std::string Machine::Sending(const Step& step) const {
  if (step.body_lines) return "+OK Top of the message follows\r\n";
  return fmt::format("+OK {} octets\r\n", (*messages_)[step.index].octets);
}

void Machine::MessageGone(bool may_come_back) {
  Reply(may_come_back ? "-ERR [SYS/TEMP] The message cannot be read now" : "-ERR The message is gone");
}

void Machine::Dele(std::string_view argument) {
  const std::optional<size_t> index = MessageAt(argument);
  if (!index) return;
  deleted_[*index] = true;
  --kept_;
  kept_octets_ -= (*messages_)[*index].octets;
  Reply("+OK Deleted");
}

void Machine::Rset(std::string_view) {
  std::fill(deleted_.begin(), deleted_.end(), false);
  kept_ = deleted_.size();
  kept_octets_ = 0;
  for (const maildir::Message& message : *messages_) kept_octets_ += message.octets;
  Reply(fmt::format("+OK {} messages ({} octets)", kept_, kept_octets_));
}

void Machine::Noop(std::string_view) { Reply("+OK"); }

}  // namespace prov::pop3
