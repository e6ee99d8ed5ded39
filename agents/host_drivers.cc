#include "agents/host_drivers.h"

#include <algorithm>
#include <utility>

#include "agents/drivers/accounts.h"
#include "agents/drivers/homes.h"
#include "agents/drivers/mailbox_moves.h"
#include "agents/drivers/maildirs.h"
#include "agents/drivers/routes.h"
#include "agents/drivers/shadow.h"
#include "agents/drivers/sites.h"

namespace prov {
namespace {

drivers::SiteOptions SitesOf(const AgentConfig::Web& web) {
  drivers::SiteOptions sites{
      .root = web.sites_root, .home_root = web.home_root, .suspended_page = web.suspended_page, .apache = {}};
  if (web.configuration.empty()) return sites;
  sites.apache = {.path = web.configuration,
                  .check_command = web.check_command,
                  .reload_command = web.reload_command,
                  .least_between_reloads = web.reload_every};
  return sites;
}

drivers::HomeOptions FtpHomesOf(const AgentConfig& config) {
  drivers::HomeOptions homes = drivers::FtpHomes(config.ftp.home_root, config.accounts.least_uid);
  homes.plan_quota = config.ftp.plan_quota;
  return homes;
}

}  // namespace

HostDrivers MakeHostDrivers(const AgentConfig& config, std::optional<drivers::FileOwner> spool,
                            state::StateWriter& state, state::StateReader& reader, const Clock& clock,
                            const std::function<void()>& moves_changed) {
  HostDrivers result;
  const auto add = [&](std::unique_ptr<drivers::Driver> driver) {
    return result.all.emplace_back(std::move(driver)).get();
  };
  drivers::AccountOptions accounts{.root = config.accounts.root,
                                   .home_prefix = config.accounts.home_prefix,
                                   .least_uid = config.accounts.least_uid};
  for (const v1::Role role : config.roles) {
    const bool owns_mail = role == v1::STORE && config.store.owned_by_account;
    if (role == v1::FTP || role == v1::WEB || owns_mail) accounts.roles.push_back(role);
  }
  // One for all roles: the files are the host's.
  drivers::Driver* account_driver = nullptr;
  if (!accounts.roles.empty()) {
    account_driver = add(config.accounts.in_passwd ? drivers::MakeShadowDriver(accounts, state)
                                                   : drivers::MakeAccountDriver(accounts, state, clock));
  }
  const uint32_t least_uid = config.accounts.least_uid;
  const auto kept = [&](drivers::HomeOptions options) {
    options.purge_grace = config.purge.grace;
    options.clock = &clock;
    return options;
  };
  for (const v1::Role role : config.roles) {
    auto& of_role = result.of_role[role];
    switch (role) {
      case v1::STORE:
        of_role = {add(drivers::MakeRouteDriver(reader)),
                   add(drivers::MakeMaildirDriver({.root = config.store.maildir_root,
                                                   .owner = spool,
                                                   .owned_by_account = config.store.owned_by_account,
                                                   .least_uid = least_uid,
                                                   .purge_grace = config.purge.grace,
                                                   .clock = &clock})),
                   add(drivers::MakeMailboxMoveDriver(config.store.maildir_root, spool, moves_changed))};
        if (config.store.owned_by_account) of_role.push_back(account_driver);
        break;
      case v1::RELAY:
      case v1::POP_PROXY:
      case v1::LIST:
        of_role = {add(drivers::MakeRouteDriver(reader))};
        break;
      case v1::FTP:
        of_role = {add(drivers::MakeHomeDriver(kept(FtpHomesOf(config)))), account_driver};
        break;
      case v1::WEB:
        of_role = {add(drivers::MakeHomeDriver(kept(drivers::WebHomes(config.web.home_root, least_uid)))),
                   account_driver, add(drivers::MakeSiteDriver(SitesOf(config.web), state, clock))};
        break;
      default:
        break;
    }
  }
  return result;
}

std::vector<drivers::PurgeRoot> PurgeRoots(const AgentConfig& config,
                                           const std::optional<drivers::FileOwner>& spool) {
  std::vector<drivers::PurgeRoot> roots;
  const auto add = [&](const std::string& path, const std::optional<drivers::FileOwner>& owner) {
    // FTP and web may share one: counted twice it would be removed in half the time.
    const bool known =
        std::any_of(roots.begin(), roots.end(), [&](const auto& root) { return root.path == path; });
    if (!known) roots.push_back({path, owner});
  };
  for (const v1::Role role : config.roles) {
    if (role == v1::STORE) add(config.store.maildir_root, spool);
    if (role == v1::FTP) add(config.ftp.home_root, std::nullopt);
    if (role == v1::WEB) add(config.web.home_root, std::nullopt);
  }
  return roots;
}

}  // namespace prov
