// A message as a file of a Maildir, for mailboxes that go from one pool to another.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prov::maildir {

struct MessageFile {
  bool in_cur = false;  // else in new/
  std::string name;     // without directory
  uint64_t octets = 0;  // as it lies there
};

inline std::string DirectoryOf(const MessageFile& file) { return file.in_cur ? "cur" : "new"; }

// Whether a name that another host sent may become a file: it is 1 to 255 octets, has no slash and no control
// characters, and does not begin with a dot.
bool IsMessageFileName(std::string_view name);

// What moves use beside the mailbox ROOT/xx/yy/ID: where it is while its mail is taken away, and where mail
// is put until all of it is there.
inline constexpr char kLeavingSuffix[] = ".leaving";
inline constexpr char kArrivingSuffix[] = ".arriving";
// An empty file that stays where a mailbox was taken from, until it comes back: a host whose view is old must
// not make the mailbox again, and deliver where nobody looks.
inline constexpr char kLeftSuffix[] = ".left";

}  // namespace prov::maildir
