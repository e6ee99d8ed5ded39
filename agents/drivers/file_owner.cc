#include "agents/drivers/file_owner.h"

#include <sys/fsuid.h>

namespace prov::drivers {

ActAs::ActAs(const std::optional<FileOwner>& owner) {
  if (!owner) return;
  // The group first: afterwards the right to change it is gone.
  FileOwner before;
  before.gid = static_cast<gid_t>(setfsgid(owner->gid));
  before.uid = static_cast<uid_t>(setfsuid(owner->uid));
  before_ = before;
  // These calls report no errors; an impossible id tells what is set.
  ok_ = static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))) == owner->uid &&
        static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))) == owner->gid;
}

ActAs::~ActAs() {
  if (!before_) return;
  setfsuid(before_->uid);
  setfsgid(before_->gid);
}

}  // namespace prov::drivers
