// The file `dovecot-uidlist`, in which Dovecot keeps what its UIDLs are made of. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::maildir {

// Dovecot's own default of pop3_uidl_format.
inline constexpr char kDovecotUidlFormat[] = "%08Xu%08Xv";

// UIDLs by the base of the file's name. `format` is pop3_uidl_format: %u (the UID), %v (UIDVALIDITY), %f (the
// name's base) and %g (the GUID), with Dovecot's modifiers of width and X (hexadecimal). An id that Dovecot
// took over from an earlier server is what it says. INVALID_ARGUMENT: the file is none of version 3, or the
// format has other letters.
absl::StatusOr<std::map<std::string, std::string>> DovecotUidls(std::string_view uidlist,
                                                                std::string_view format);

}  // namespace prov::maildir
