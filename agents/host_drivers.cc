#include "agents/host_drivers.h"

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
    if (role == v1::FTP || role == v1::WEB) accounts.roles.push_back(role);
  }
  // One for all roles: the files are the host's.
  drivers::Driver* account_driver = nullptr;
  if (!accounts.roles.empty()) {
    account_driver = add(config.accounts.in_passwd ? drivers::MakeShadowDriver(accounts, state)
                                                   : drivers::MakeAccountDriver(accounts, state, clock));
  }
  const uint32_t least_uid = config.accounts.least_uid;
  for (const v1::Role role : config.roles) {
    auto& of_role = result.of_role[role];
    switch (role) {
      case v1::STORE:
        of_role = {add(drivers::MakeRouteDriver(reader)),
                   add(drivers::MakeMaildirDriver(config.store.maildir_root, spool)),
                   add(drivers::MakeMailboxMoveDriver(config.store.maildir_root, spool, moves_changed))};
        break;
      case v1::RELAY:
      case v1::POP_PROXY:
      case v1::LIST:
        of_role = {add(drivers::MakeRouteDriver(reader))};
        break;
      case v1::FTP:
        of_role = {add(drivers::MakeHomeDriver(drivers::FtpHomes(config.ftp.home_root, least_uid))),
                   account_driver};
        break;
      case v1::WEB:
        of_role = {add(drivers::MakeHomeDriver(drivers::WebHomes(config.web.home_root, least_uid))),
                   account_driver, add(drivers::MakeSiteDriver(SitesOf(config.web), state, clock))};
        break;
      default:
        break;
    }
  }
  return result;
}

}  // namespace prov
