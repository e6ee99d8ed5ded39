// Has messages that were brought from another server keep the UIDLs they had there: programs that leave mail
// on the server do not fetch it once more. The id becomes part of the file's name (file_name.h), and goes
// with the message wherever it goes.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prov::maildir {

struct UidlImport {
  size_t named = 0;    // have got their id
  size_t before = 0;   // have one that was imported before, or one that is the name's own
  size_t without = 0;  // nothing is known of them, or nothing that POP3 can say; they keep that of their name
  size_t twice = 0;    // of another message as well; likewise
};

// All block on the disk, may be repeated, and go on after a kill. ABORTED while a session has the mailbox;
// NOT_FOUND when there is none; FAILED_PRECONDITION when it belongs to another user.

// By the base of the file's name, as DovecotUidls tells.
absl::StatusOr<UidlImport> ImportUidls(std::string_view root, std::string_view mailbox_id,
                                       const std::map<std::string, std::string>& by_base);

// From each message's own header X-UIDL, as Qpopper and others write it. Only for mail that is brought from
// such a server: any sender may write the header.
absl::StatusOr<UidlImport> ImportXUidls(std::string_view root, std::string_view mailbox_id);

}  // namespace prov::maildir
