// The engine's answers as provd takes them. Pure. An engine may have been taken over: what has another form
// than expected is left out, and text that is not UTF-8 is made so.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "prov/v1/host_control.pb.h"
#include "prov/v1/mail_queues.pb.h"

namespace prov::control {

v1::QueuedMessage QueuedMessageOf(const nlohmann::json& message);
v1::MailEvent MailEventOf(const nlohmann::json& event);
nlohmann::json JsonOf(const v1::QueueSelection& selection);

// 0, false: what is not there, or is something else.
uint64_t NumberIn(const nlohmann::json& object, const char* key);
bool FlagIn(const nlohmann::json& object, const char* key);

}  // namespace prov::control
