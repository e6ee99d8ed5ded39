// The lines of --wait: one for each follower, on standard error.
#pragma once

#include <map>
#include <string>

#include "prov/v1/operations.pb.h"

namespace prov::cli {

// On a terminal the lines are updated in place; elsewhere a line is printed as each follower becomes current.
class WaitDisplay {
 public:
  explicit WaitDisplay(bool quiet);

  void Show(const v1::RevisionProgress& progress);
  void Finish();

 private:
  const bool quiet_;
  const bool terminal_;
  int lines_ = 0;
  std::map<std::string, bool> told_;
};

// "store1 (store) current   applied 1042   12 ms".
std::string FollowerLine(const v1::FollowerProgress& follower);
// Names of those not current, with their state.
std::string WaitingFor(const v1::RevisionProgress& progress);
// "relay", "pop-proxy"; "" for none.
std::string RoleText(v1::Role role);

}  // namespace prov::cli
