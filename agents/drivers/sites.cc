#include "agents/drivers/sites.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <set>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "agents/drivers/apache_sites.h"
#include "agents/drivers/site_tree.h"
#include "agents/mail/maildir/layout.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr size_t kMostNamesTold = 3;
constexpr size_t kMostNameOctetsTold = 60;

// Nothing: it is not to be found.
std::optional<SitePlace> PlaceOf(const v1::Account& account) {
  if (account.closed()) return std::nullopt;
  return account.use() == v1::ALLOW ? SitePlace::kServed : SitePlace::kSuspended;
}

std::set<std::string> NamesOf(const v1::Account& account) {
  std::set<std::string> names(account.web_names().begin(), account.web_names().end());
  names.insert(account.login());
  return names;
}

class SiteDriver final : public Driver {
 public:
  SiteDriver(SiteOptions options, state::StateWriter& state, const Clock& clock)
      : home_root_(std::move(options.home_root)), tree_(options.root), state_(state) {
    if (!options.apache) return;
    apache_.emplace(*std::move(options.apache), RenderApacheSites({options.root, options.suspended_page}),
                    clock);
  }

  std::string_view name() const override { return "sites"; }

  absl::Status Apply(const state::PendingItem& item) override {
    std::set<std::string> gone, wanted;
    std::string home;
    std::optional<SitePlace> place;
    if (item.previous && item.previous->has_account()) {
      gone = NamesOf(item.previous->account());
      PROV_ASSIGN_OR_RETURN(home, HomeOf(item.previous->account()));
    }
    if (item.record && item.record->has_account()) {
      const v1::Account& account = item.record->account();
      PROV_ASSIGN_OR_RETURN(home, HomeOf(account));
      place = PlaceOf(account);
      (place ? wanted : gone).merge(NamesOf(account));
    }
    // First, so that two who change names with each other both come to an end.
    for (const std::string& name : gone) {
      if (!wanted.contains(name)) PROV_RETURN_IF_ERROR(tree_.Remove(name, home));
    }
    for (const std::string& name : wanted) PROV_RETURN_IF_ERROR(Put(item.key, name, home, *place));
    return absl::OkStatus();
  }

  // What Apache refuses is nobody's in particular: it holds no record up (Unfinished).
  absl::Status Flush(std::vector<Work>& works) override {
    const std::lock_guard lock(mutex_);
    if (sweep_) PROV_RETURN_IF_ERROR(RemoveStrays());
    sweep_ = false;
    if (!works.empty()) PROV_RETURN_IF_ERROR(tree_.Sync());
    if (apache_) apache_->Bring();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    if (!record.has_account()) return "";
    PROV_ASSIGN_OR_RETURN(const std::string home, HomeOf(record.account()));
    const std::optional<SitePlace> place = PlaceOf(record.account());
    for (const std::string& name : NamesOf(record.account())) {
      PROV_ASSIGN_OR_RETURN(std::string difference, tree_.Compare(name, home, place));
      if (!difference.empty()) return difference;
    }
    return "";
  }

  absl::StatusOr<std::vector<Difference>> InspectWhole() override {
    const std::lock_guard lock(mutex_);
    std::vector<Difference> differences;
    if (apache_) {
      PROV_ASSIGN_OR_RETURN(differences, apache_->Inspect());
    }
    PROV_ASSIGN_OR_RETURN(const std::vector<Stray> strays, FindStrays());
    for (const SitePlace place : {SitePlace::kServed, SitePlace::kSuspended}) {
      const std::string text = Told(strays, place);
      if (!text.empty()) differences.push_back({tree_.PathOf(place), text});
    }
    return differences;
  }

  void Redo() override {
    const std::lock_guard lock(mutex_);
    sweep_ = true;
    if (apache_) apache_->Redo();
  }

  std::optional<Unfinished> GetUnfinished() override {
    const std::lock_guard lock(mutex_);
    return apache_ ? apache_->unfinished() : std::nullopt;
  }

 private:
  struct Stray {
    SitePlace place;
    std::string name;
  };

  absl::StatusOr<std::string> HomeOf(const v1::Account& account) const {
    return maildir::MailboxPath(home_root_, account.home_id());
  }

  absl::Status Put(const std::string& key, const std::string& name, const std::string& home,
                   SitePlace place) {
    PROV_ASSIGN_OR_RETURN(const auto shown, tree_.HomeOf(name));
    if (shown && shown != home) {
      PROV_ASSIGN_OR_RETURN(const std::string other, OtherClaimant(key, name));
      if (!other.empty())
        return absl::FailedPreconditionError(fmt::format("{} has the name {}", other, name));
    }
    return tree_.Put(name, home, place);
  }

  // The key of another record with the name; it takes a walk, and is rarely asked for. Empty: the link is
  // wrong, or its owner is gone.
  absl::StatusOr<std::string> OtherClaimant(const std::string& key, const std::string& name) const {
    std::string other;
    const absl::Status walked = state_.ForEachRecord(v1::WEB, [&](const v1::Record& record) -> absl::Status {
      const bool claims = record.has_account() && record.key() != key && PlaceOf(record.account()) &&
                          NamesOf(record.account()).contains(name);
      if (!claims) return absl::OkStatus();
      other = record.key();
      return absl::CancelledError();
    });
    if (!walked.ok() && !absl::IsCancelled(walked)) return walked;
    return other;
  }

  // Names that no record has. Until there is a snapshot nothing is known to be one.
  absl::StatusOr<std::vector<Stray>> FindStrays() const {
    std::vector<Stray> strays;
    PROV_ASSIGN_OR_RETURN(const state::Freshness freshness, state_.GetFreshness(v1::WEB));
    if (freshness.received_revision == 0) return strays;
    std::unordered_set<size_t> known;  // hashes, for there may be a million
    PROV_RETURN_IF_ERROR(state_.ForEachRecord(v1::WEB, [&](const v1::Record& record) -> absl::Status {
      if (!record.has_account()) return absl::OkStatus();
      for (const std::string& name : NamesOf(record.account())) known.insert(std::hash<std::string>()(name));
      return absl::OkStatus();
    }));
    PROV_RETURN_IF_ERROR(tree_.ForEachName([&](SitePlace place, const std::string& name) {
      if (!known.contains(std::hash<std::string>()(name))) strays.push_back({place, name});
    }));
    return strays;
  }

  static std::string Told(const std::vector<Stray>& strays, SitePlace place) {
    std::vector<std::string> first;
    size_t count = 0;
    for (const Stray& stray : strays) {
      if (stray.place != place) continue;
      if (++count <= kMostNamesTold)
        first.push_back(absl::CHexEscape(stray.name.substr(0, kMostNameOctetsTold)));
    }
    if (count == 0) return "";
    return fmt::format("{} names of nobody ({}{})", count, fmt::join(first, ", "),
                       count > first.size() ? ", …" : "");
  }

  absl::Status RemoveStrays() {
    PROV_ASSIGN_OR_RETURN(const std::vector<Stray> strays, FindStrays());
    for (const Stray& stray : strays) {
      const absl::Status removed = tree_.RemoveLink(stray.place, stray.name);
      if (!removed.ok()) Log(Level::kWarning, "stray_site_kept", {{"name", stray.name}, {"error", removed}});
    }
    return strays.empty() ? absl::OkStatus() : tree_.Sync();
  }

  const std::string home_root_;
  SiteTree tree_;
  state::StateWriter& state_;

  std::mutex mutex_;
  std::optional<ApacheFile> apache_;
  bool sweep_ = false;
};

}  // namespace

std::unique_ptr<Driver> MakeSiteDriver(SiteOptions options, state::StateWriter& state, const Clock& clock) {
  return std::make_unique<SiteDriver>(std::move(options), state, clock);
}

}  // namespace prov::drivers
