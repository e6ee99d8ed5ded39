// Dates as mail headers write them. Pure.
#pragma once

#include <chrono>
#include <string>

namespace prov::queue {

// "Tue, 02 Jan 2024 15:04:05 +0000": RFC 5322 section 3.3, always UTC, in no locale.
std::string MailDate(std::chrono::system_clock::time_point time);

}  // namespace prov::queue
