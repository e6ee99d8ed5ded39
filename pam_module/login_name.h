// Which names a subscriber can have. What is none is refused before any server hears of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prov::pam {

// The login in lower case; nothing unless it is local-part@domain, of the characters and no longer than provd
// gives out (common/mail_address.h, which is not used here for what it depends on). Not every such name
// exists.
std::optional<std::string> LoginName(std::string_view typed);

}  // namespace prov::pam
