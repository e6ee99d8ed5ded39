// Files made and opened as another user, by a process that is root.
#pragma once

#include <sys/types.h>

#include <optional>

namespace prov::drivers {

struct FileOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

// The calling thread's file accesses are the owner's until this is destroyed: what it makes belongs to the
// owner, and what the owner may not touch it may not either. Nothing given: no change. Other threads are not
// concerned (setfsuid(2)).
class ActAs {
 public:
  explicit ActAs(const std::optional<FileOwner>& owner);
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  ~ActAs();

  // Whether the change took place.
  bool ok() const { return ok_; }

 private:
  std::optional<FileOwner> before_;
  bool ok_ = true;
};

}  // namespace prov::drivers
