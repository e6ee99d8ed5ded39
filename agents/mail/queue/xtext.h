// xtext: what parameters of SMTP carry, RFC 3461 section 4. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prov::queue {

// Nothing: not xtext. The result may hold any octet.
std::optional<std::string> DecodeXtext(std::string_view text);

std::string EncodeXtext(std::string_view text);

}  // namespace prov::queue
