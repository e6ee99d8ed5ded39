#include "agents/control/answer_translation.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "common/utf8.h"

namespace prov::control {
namespace {

using google::protobuf::util::TimeUtil;
using nlohmann::json;

constexpr size_t kMostRecipients = 100;
constexpr int kMostDetails = 20;
constexpr size_t kMaxValueOctets = 1000;
constexpr int64_t kLatestMilliseconds = 253'402'300'799'000;  // the year 9999: as far as a Timestamp goes

std::string Utf8(std::string_view text) {
  text = text.substr(0, kMaxValueOctets);
  if (IsValidUtf8(text)) return std::string(text);
  std::string result;
  while (!text.empty()) {
    char32_t ignored = 0;
    const size_t octets = DecodeUtf8(text, ignored);
    result += octets == 0 ? std::string_view("?") : text.substr(0, octets);
    text.remove_prefix(std::max<size_t>(octets, 1));
  }
  return result;
}

std::string TextOf(const json& value) {
  return value.is_string() ? Utf8(value.get_ref<const std::string&>()) : std::string();
}

std::string TextIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? std::string() : TextOf(*found);
}

google::protobuf::Timestamp TimeIn(const json& object, const char* key) {
  const auto milliseconds = static_cast<int64_t>(NumberIn(object, key));
  return TimeUtil::MillisecondsToTimestamp(std::clamp<int64_t>(milliseconds, 0, kLatestMilliseconds));
}

const json& ListIn(const json& object, const char* key) {
  static const json none = json::array();
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : none;
}

}  // namespace

uint64_t NumberIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

bool FlagIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

v1::QueuedMessage QueuedMessageOf(const json& message) {
  v1::QueuedMessage proto;
  if (!message.is_object()) return proto;
  proto.set_id(TextIn(message, "id"));
  proto.set_trace(TextIn(message, "trace"));
  proto.set_queue(TextIn(message, "queue"));
  *proto.mutable_receive_time() = TimeIn(message, "received");
  proto.set_sender(TextIn(message, "sender"));
  proto.set_octets(static_cast<int64_t>(NumberIn(message, "octets")));
  proto.set_held(FlagIn(message, "held"));
  proto.set_further_recipients(static_cast<uint32_t>(NumberIn(message, "further")));
  for (const json& one : ListIn(message, "recipients")) {
    if (!one.is_object() || proto.recipients_size() == static_cast<int>(kMostRecipients)) continue;
    v1::QueuedRecipient* recipient = proto.add_recipients();
    recipient->set_address(TextIn(one, "address"));
    recipient->set_attempts(static_cast<uint32_t>(NumberIn(one, "attempts")));
    *recipient->mutable_due_time() = TimeIn(one, "due");
    recipient->set_reason(TextIn(one, "reason"));
  }
  return proto;
}

v1::MailEvent MailEventOf(const json& event) {
  v1::MailEvent proto;
  if (!event.is_object()) return proto;
  *proto.mutable_time() = TimeIn(event, "time");
  for (const auto& [key, value] : event.items()) {
    if (key == "event") {
      proto.set_event(TextOf(value));
    } else if (key == "trace") {
      proto.set_trace(TextOf(value));
    } else if (key == "sender") {
      proto.set_sender(TextOf(value));
    } else if (key == "reply") {
      proto.set_reply(TextOf(value));
    } else if (key == "recipient") {
      if (const std::string address = TextOf(value); !address.empty()) proto.add_recipients(address);
    } else if (value.is_string() && proto.details_size() < kMostDetails) {
      (*proto.mutable_details())[Utf8(key)] = TextOf(value);
    }
  }
  for (const json& one : ListIn(event, "recipients")) {
    if (proto.recipients_size() < static_cast<int>(kMostRecipients)) proto.add_recipients(TextOf(one));
  }
  return proto;
}

json JsonOf(const v1::QueueSelection& selection) {
  json object = json::object();
  if (selection.ids_size() > 0)
    object["ids"] = std::vector<std::string>(selection.ids().begin(), selection.ids().end());
  if (!selection.recipient().empty()) object["recipient"] = selection.recipient();
  if (!selection.recipient_domain().empty()) object["recipient_domain"] = selection.recipient_domain();
  if (!selection.sender().empty()) object["sender"] = selection.sender();
  if (selection.all()) object["all"] = true;
  return object;
}

}  // namespace prov::control
