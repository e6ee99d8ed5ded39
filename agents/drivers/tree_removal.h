// Removes a directory whose content belongs to somebody else.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace prov::drivers {

// Removes `name` in the directory `parent` and all that is in it. Already gone is OK. No symbolic link is
// ever followed, no other file system entered, and neither the depth of the tree nor changes made to it
// meanwhile cost stack or descriptors. UNAVAILABLE when somebody fills it faster than it is emptied.
absl::Status RemoveTree(int parent, const std::string& name);

}  // namespace prov::drivers
