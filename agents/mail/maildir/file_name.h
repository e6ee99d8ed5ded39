// What a Maildir file name tells. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace prov::maildir {

// Longest unique id a POP3 server may send (RFC 1939 section 7).
constexpr size_t kMaxUidlOctets = 70;

// The part before `:`, which stays when the file moves from new/ to cur/ or gets flags.
std::string_view BaseOf(std::string_view file_name);

// Octets with CRLF line ends, from `,W=`; nothing when the name does not tell.
std::optional<uint64_t> WireOctetsOf(std::string_view file_name);

// 1 to 70 octets of 0x21 to 0x7E (RFC 1939 section 7).
bool IsSayableUidl(std::string_view uidl);

// The imported id, or else that of the name: the same after a restart, on every host, whatever the flags.
std::string UidlOf(std::string_view file_name);
// The base where POP3 can say it, else its SHA-256 in hexadecimal.
std::string UidlOfName(std::string_view file_name);

// The id that another server gave the message, from a field `,UIDL=` of the base, the last one, in which `%`,
// `,`,
// `:`, `/` and `=` are written as %XX. Nothing when there is none that POP3 can say.
std::optional<std::string> ImportedUidlOf(std::string_view file_name);
// The name with that field at the end of its base; nothing when it has one, or would be too long for a file.
std::optional<std::string> WithImportedUidl(std::string_view file_name, std::string_view uidl);

// Flag S among the flags behind `:2,`.
bool IsSeen(std::string_view file_name);
// The name in cur/ with that flag; nothing when what is behind its base is no list of flags.
std::optional<std::string> SeenNameOf(std::string_view file_name);

// Files in order of this are in order of arrival: seconds, microseconds (`M`), then the name. Names of other
// programs that start with no number come first.
std::tuple<uint64_t, uint64_t, std::string_view> ArrivalOf(std::string_view file_name);

}  // namespace prov::maildir
