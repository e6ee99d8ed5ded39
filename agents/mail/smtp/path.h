// Forward and reverse paths as MAIL and RCPT carry them: RFC 5321 section 4.1.2. Pure.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::smtp {

struct Path {
  enum class Form {
    kNull,        // <>
    kMailbox,     // <local@domain>
    kPostmaster,  // <Postmaster>, RFC 5321 section 4.5.1
  };
  Form form = Form::kNull;
  std::string text;        // between the brackets, as it came, without a source route, the domain as A-labels
  std::string local_part;  // unquoted
  std::string domain;      // lower case; an address literal with its brackets
  // What is well-formed and is not routed all the same:
  bool source_route = false;  // "@a,@b:" came before the mailbox
  bool quoted = false;        // the local part is a quoted string
  bool literal = false;       // the domain is an address literal
  // The local part has more than ASCII: only where SMTPUTF8 is in use (RFC 6531 section 3.3).
  bool utf8 = false;
};

// Takes a path from the front of `input`, which then begins behind its '>'. INVALID_ARGUMENT says what is
// wrong. What is not ASCII is UTF-8; of a domain, it becomes A-labels (RFC 5890), which all understand.
absl::StatusOr<Path> ParsePath(std::string_view& input);

}  // namespace prov::smtp
