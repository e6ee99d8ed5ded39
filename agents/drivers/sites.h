// Web sites: the names under which homes are served, and what the web server is told of them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agents/drivers/apache_file.h"
#include "agents/drivers/driver.h"
#include "agents/state/writer.h"
#include "common/clock.h"

namespace prov::drivers {

struct SiteOptions {
  std::string root;                         // of the links (site_tree.h)
  std::string home_root;                    // of what they lead to: HOME_ROOT/xx/yy/HOME_ID
  std::string suspended_page;               // apache_sites.h
  std::optional<ApacheFileOptions> apache;  // nothing: links alone, for whatever server follows them
};

// A site is served while its use is allowed, and shows a notice while it is not; closed, it has no names. A
// name that another record of the host claims fails until that one gives it up. `state` and `clock` must
// outlive the driver. Flush may take as long as Apache needs to try its configuration and to reload.
std::unique_ptr<Driver> MakeSiteDriver(SiteOptions options, state::StateWriter& state, const Clock& clock);

}  // namespace prov::drivers
