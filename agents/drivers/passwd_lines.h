// The lines of passwd.cache, one for each account, in the order of logins: all account files follow from
// them. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace prov::drivers {

struct UnixAccount {
  std::string login;
  uint32_t uid = 0;  // and its own group's gid
  std::string display_name;
  std::string home;
};

// A view of one account's line: valid as long as what it was made from.
struct PasswdLine {
  std::string_view text;  // with its newline
  uint32_t uid = 0;
  uint32_t login_octets = 0;

  std::string_view login() const { return text.substr(0, login_octets); }
  // Never changes, and is one subscriber's alone.
  std::string_view home() const;
};

// Lines made from accounts: the text itself and a view of it, some 130 octets for an account.
class PasswdLines {
 public:
  // Fields must be free of control characters. Colons in names become blanks. Nobody gets a shell, and no
  // password ever matches.
  void Add(const UnixAccount& account);

  struct SharedLogin {
    PasswdLine taken_out;
    PasswdLine stays;
  };
  // Puts the lines in order. Of those with one login the first that was added stays.
  std::vector<SharedLogin> Sort();

  const std::vector<PasswdLine>& get() const { return lines_; }

 private:
  std::deque<std::string> chunks_;
  std::vector<PasswdLine> lines_;
};

struct MergedLines {
  std::vector<PasswdLine> lines;
  bool changed = false;  // against what was there before
};

// The lines of `before`, a file of such lines, but for those of `uids`, and with `added`, which are in order,
// whose uids are among `uids`. Views into both. Nothing when that cannot be said line by line: somebody else
// wrote the file, or a login or uid that is added is another subscriber's there.
std::optional<MergedLines> MergeLines(std::string_view before, const std::unordered_set<uint32_t>& uids,
                                      const std::vector<PasswdLine>& added);

}  // namespace prov::drivers
