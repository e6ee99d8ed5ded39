// Which home is served under which name, as links that a web server follows:
//
//   ROOT/served/NAME     → home   while the site may be seen
//   ROOT/suspended/NAME  → home   while a notice is shown in its place; it goes before the other
//
// NAME is a login or a host name. A change of one name is a change of one link: nothing is written whole, and
// the server need not be told (docs/decisions/0015).
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace prov::drivers {

enum class SitePlace { kServed, kSuspended };

constexpr std::string_view kServedDirectory = "served";
constexpr std::string_view kSuspendedDirectory = "suspended";

// Thread-safe. Directories are made when they are needed. Names that cannot be a file's, or begin with a dot,
// are INVALID_ARGUMENT; what is under a name and is no link was made by somebody else, is left alone, and is
// FAILED_PRECONDITION.
class SiteTree {
 public:
  explicit SiteTree(std::string root) : root_(std::move(root)) {}

  // What the name's link shows now, in either place.
  absl::StatusOr<std::optional<std::string>> HomeOf(const std::string& name) const;
  // The name shows `home`, in that place alone, whatever it showed before. At no moment it shows nothing.
  absl::Status Put(const std::string& name, const std::string& home, SitePlace place);
  // The name no longer shows `home`. One that shows another stays.
  absl::Status Remove(const std::string& name, const std::string& home);
  // Makes durable what was done before.
  absl::Status Sync() const;

  // How the name differs from what it should show, for people; empty: not at all. `place`: nothing when it
  // should show nothing.
  absl::StatusOr<std::string> Compare(const std::string& name, const std::string& home,
                                      std::optional<SitePlace> place) const;
  // Calls `visit` with each name in each place, and with what is no link as well.
  absl::Status ForEachName(const std::function<void(SitePlace, const std::string& name)>& visit) const;
  // Removes the name in that place, if it is a link.
  absl::Status RemoveLink(SitePlace place, const std::string& name);

  // ROOT/served, ROOT/suspended.
  std::string PathOf(SitePlace place) const;

 private:
  absl::StatusOr<FileDescriptor> Open(SitePlace place) const;

  const std::string root_;
  std::mutex mutex_;  // links are changed one after the other
};

}  // namespace prov::drivers
