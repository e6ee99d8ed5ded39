// Homes of FTP and web subscribers: ROOT/xx/yy/HOME_ID, hashed as mailboxes are.
//
// The home itself belongs to the agent's user and nobody else writes to it, so that a subscriber may be
// locked into it (chroot); what the subscriber fills is a folder in it. FTP and web may share a root: each
// has a folder of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "agents/drivers/driver.h"
#include "common/clock.h"

namespace prov::drivers {

struct HomeOptions {
  std::string root;
  std::string folder;                         // "files", "public_html"
  uint32_t folder_mode = 0;                   // of the folder
  uint32_t least_uid = 0;                     // lower ones are refused
  bool notes_quota = false;                   // what the plan allows, in the home (quota_note.h)
  std::map<std::string, int64_t> plan_quota;  // octets, by plan
  // As for maildirs (maildirs.h).
  std::chrono::milliseconds purge_grace{0};
  const Clock* clock = &SystemClock();
};

HomeOptions FtpHomes(std::string root, uint32_t least_uid);
HomeOptions WebHomes(std::string root, uint32_t least_uid);

// The folder belongs to the subscriber's uid when the process is root. It goes when the record leaves the
// view of a subscriber that was closed, and is put back if that one returns while it is kept. One that leaves
// the view otherwise lost its entitlement, not its data: everything stays.
std::unique_ptr<Driver> MakeHomeDriver(HomeOptions options);

}  // namespace prov::drivers
