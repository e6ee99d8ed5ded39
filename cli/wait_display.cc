#include "cli/wait_display.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "cli/output.h"

namespace prov::cli {
namespace {

std::string NameOf(const v1::FollowerProgress& follower) {
  std::string name = follower.name();
  if (name.starts_with("hosts/")) name.erase(0, 6);
  const std::string role = RoleText(follower.role());
  return role.empty() ? name : fmt::format("{} ({})", name, role);
}

std::string StateText(const v1::FollowerProgress& follower) {
  std::string state = v1::FollowerProgress::State_Name(follower.state());
  absl::AsciiStrToLower(&state);
  return state;
}

// "3 s", "12 min", "2 h": nobody knows it better.
std::string TimeToGoText(const google::protobuf::Duration& duration) {
  const int64_t seconds = duration.seconds() + (duration.nanos() > 0 ? 1 : 0);
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", (seconds + 59) / 60);
  return fmt::format("{} h", (seconds + 3599) / 3600);
}

}  // namespace

std::string RoleText(v1::Role role) {
  if (role == v1::ROLE_UNSPECIFIED) return "";
  std::string text = v1::Role_Name(role);
  absl::AsciiStrToLower(&text);
  for (char& c : text) {
    if (c == '_') c = '-';
  }
  return text;
}

std::string FollowerLine(const v1::FollowerProgress& follower) {
  std::string line = fmt::format("  {:<24} {:<8} applied {:<8}", Safe(NameOf(follower)), StateText(follower),
                                 follower.applied_revision());
  if (follower.has_took()) {
    line += fmt::format(" {} ms", google::protobuf::util::TimeUtil::DurationToMilliseconds(follower.took()));
  }
  if (follower.has_time_to_go()) line += fmt::format("  {} to go", TimeToGoText(follower.time_to_go()));
  if (follower.failing_items() > 0) line += fmt::format("  {} failing", follower.failing_items());
  if (!follower.cause().empty()) line += "  " + Safe(follower.cause());
  return line;
}

std::string WaitingFor(const v1::RevisionProgress& progress) {
  std::string names;
  for (const v1::FollowerProgress& follower : progress.followers()) {
    if (follower.state() == v1::FollowerProgress::CURRENT) continue;
    names += fmt::format("{}{} is {}", names.empty() ? "" : ", ", NameOf(follower), StateText(follower));
    if (follower.has_time_to_go()) names += fmt::format(" ({} to go)", TimeToGoText(follower.time_to_go()));
    if (!follower.cause().empty()) names += fmt::format(" ({})", follower.cause());
  }
  return names.empty() ? "no answer" : names;
}

WaitDisplay::WaitDisplay(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

void WaitDisplay::Show(const v1::RevisionProgress& progress) {
  if (quiet_) return;
  if (terminal_ && lines_ > 0) fmt::print(stderr, "\033[{}A", lines_);
  for (const v1::FollowerProgress& follower : progress.followers()) {
    if (terminal_) {
      // Without wrapping for the moment: a line must stay one line to be found again.
      fmt::print(stderr, "\033[?7l\033[K{}\033[?7h\n", FollowerLine(follower));
    } else if (follower.state() == v1::FollowerProgress::CURRENT && !told_[NameOf(follower)]) {
      told_[NameOf(follower)] = true;
      fmt::print(stderr, "{}\n", FollowerLine(follower));
    }
  }
  lines_ = progress.followers_size();
}

void WaitDisplay::Finish() { std::fflush(stderr); }

}  // namespace prov::cli
