// What Apache has to be told to serve the links of site_tree.h. Pure.
#pragma once

#include <string>

namespace prov::drivers {

struct ApacheSites {
  std::string sites_root;      // of the SiteTree
  std::string suspended_page;  // file that is shown for suspended sites; empty: one sentence
};

// The whole file, to be included in the virtual host that is asked for every name that no other one has. The
// paths stand in it as they are: absolute, of letters, digits and /._- only (LoadAgentConfig sees to it). It
// does not depend on who the subscribers are.
std::string RenderApacheSites(const ApacheSites& sites);

}  // namespace prov::drivers
