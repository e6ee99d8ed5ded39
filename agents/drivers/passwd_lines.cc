#include "agents/drivers/passwd_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <unordered_map>

namespace prov::drivers {
namespace {

// Above the largest size that malloc keeps in its heap: what a large host needed for a moment goes back to
// the system. What is not written to costs nothing.
constexpr size_t kChunkOctets = size_t{64} << 20;
constexpr std::string_view kNoPassword = ":*:";
constexpr std::string_view kShellField = ":/usr/sbin/nologin\n";

std::string GecosOf(const UnixAccount& account) {
  std::string name = account.display_name;
  std::replace(name.begin(), name.end(), ':', ' ');
  return name;
}

// The line at the beginning of `rest`; nothing when it is not one of ours.
std::optional<PasswdLine> ParseLine(std::string_view rest) {
  const size_t end = rest.find('\n');
  if (end == rest.npos) return std::nullopt;
  PasswdLine line{.text = rest.substr(0, end + 1)};
  const size_t colon = line.text.find(':');
  if (colon == line.text.npos || !line.text.substr(colon).starts_with(kNoPassword)) return std::nullopt;
  line.login_octets = static_cast<uint32_t>(colon);
  const char* const number = line.text.data() + colon + kNoPassword.size();
  const auto parsed = std::from_chars(number, line.text.data() + line.text.size(), line.uid);
  if (parsed.ec != std::errc() || *parsed.ptr != ':') return std::nullopt;
  return line;
}

// What becomes of the old lines of the uids that change.
class OldLines {
 public:
  OldLines(const std::unordered_set<uint32_t>& uids, const std::vector<PasswdLine>& added) {
    for (const uint32_t uid : uids) added_.emplace(uid, nullptr);
    for (const PasswdLine& line : added) added_[line.uid] = &line;
  }

  enum class Fate { kStays, kGoes, kIsAnothers };
  Fate Of(const PasswdLine& old) {
    const auto found = added_.find(old.uid);
    if (found == added_.end()) return Fate::kStays;
    const PasswdLine* added = found->second;
    if (added != nullptr && added->home() != old.home()) return Fate::kIsAnothers;
    ++gone_;
    if (added != nullptr && added->text == old.text) ++same_;
    return Fate::kGoes;
  }

  bool AllSame(size_t added) const { return same_ == gone_ && same_ == added; }

 private:
  std::unordered_map<uint32_t, const PasswdLine*> added_;  // null: none
  size_t gone_ = 0, same_ = 0;
};

}  // namespace

std::string_view PasswdLine::home() const {
  const std::string_view rest = text.substr(0, text.rfind(':'));
  return rest.substr(rest.rfind(':') + 1);
}

void PasswdLines::Add(const UnixAccount& account) {
  const std::string line = fmt::format("{}{}{}:{}:{}:{}{}", account.login, kNoPassword, account.uid,
                                       account.uid, GecosOf(account), account.home, kShellField);
  // A chunk never grows: views into it stay.
  if (chunks_.empty() || chunks_.back().capacity() - chunks_.back().size() < line.size()) {
    chunks_.emplace_back().reserve(std::max(kChunkOctets, line.size()));
  }
  std::string& chunk = chunks_.back();
  const size_t begin = chunk.size();
  chunk += line;
  lines_.push_back({.text = std::string_view(chunk).substr(begin),
                    .uid = account.uid,
                    .login_octets = static_cast<uint32_t>(account.login.size())});
}

std::vector<PasswdLines::SharedLogin> PasswdLines::Sort() {
  std::stable_sort(lines_.begin(), lines_.end(),
                   [](const PasswdLine& a, const PasswdLine& b) { return a.login() < b.login(); });
  std::vector<SharedLogin> shared;
  size_t kept = 0;
  for (const PasswdLine& line : lines_) {
    if (kept > 0 && lines_[kept - 1].login() == line.login()) {
      shared.push_back({.taken_out = line, .stays = lines_[kept - 1]});
    } else {
      lines_[kept++] = line;
    }
  }
  lines_.resize(kept);
  return shared;
}

std::optional<MergedLines> MergeLines(std::string_view before, const std::unordered_set<uint32_t>& uids,
                                      const std::vector<PasswdLine>& added) {
  OldLines old_lines(uids, added);
  MergedLines merged;
  merged.lines.reserve(static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + added.size());
  auto next = added.begin();
  std::string_view last;
  while (!before.empty()) {
    const std::optional<PasswdLine> old = ParseLine(before);
    if (!old || old->login() <= last) return std::nullopt;
    last = old->login();
    before.remove_prefix(old->text.size());
    const OldLines::Fate fate = old_lines.Of(*old);
    if (fate == OldLines::Fate::kIsAnothers) return std::nullopt;
    for (; next != added.end() && next->login() < last; ++next) merged.lines.push_back(*next);
    if (fate == OldLines::Fate::kGoes) continue;
    if (next != added.end() && next->login() == last) return std::nullopt;
    merged.lines.push_back(*old);
  }
  std::copy(next, added.end(), std::back_inserter(merged.lines));
  merged.changed = !old_lines.AllSame(added.size());
  return merged;
}

}  // namespace prov::drivers
