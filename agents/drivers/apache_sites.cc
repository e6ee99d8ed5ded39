#include "agents/drivers/apache_sites.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace prov::drivers {
namespace {

// {0}: where links are. In the conditions %1 is the name that the pattern before it has let through: no
// slash, no leading dot, and as many letters as the links have.
constexpr std::string_view kRules =
    R"(# Written by prov-agent, whole: what is changed here is lost. See agent.toml(5).

RewriteEngine On
RewriteMap prov-lower int:tolower

# The notice itself, when it is asked for in place of a suspended site.
{1}
# A host name of somebody's own.
RewriteCond "${{prov-lower:%{{HTTP_HOST}}}}" "^([a-z0-9-]+(?:\.[a-z0-9-]+)+)\.?(?::[0-9]+)?$"
RewriteCond "{0}/suspended/%1" -l
RewriteRule "^" "-" [R=503,L]
RewriteCond "${{prov-lower:%{{HTTP_HOST}}}}" "^([a-z0-9-]+(?:\.[a-z0-9-]+)+)\.?(?::[0-9]+)?$"
RewriteCond "{0}/served/%1" -l
RewriteRule "^(/.*)$" "{0}/served/%1/public_html$1" [L]

# At any other host name: /~LOGIN/.
RewriteCond "${{prov-lower:$1}}" "^([a-z0-9_].*)$"
RewriteCond "{0}/suspended/%1" -l
RewriteRule "^/~([^/]+)(?:/.*)?$" "-" [R=503,L]
RewriteCond "${{prov-lower:$1}}" "^([a-z0-9_].*)$"
RewriteCond "{0}/served/%1" -l
RewriteRule "^/~([^/]+)(/.*)?$" "{0}/served/%1/public_html$2" [L]

# Nobody's.
RewriteRule "^" "-" [R=404,L]

<IfModule mod_headers.c>
  Header always set Retry-After 86400 "expr=%{{REQUEST_STATUS}} == 503"
</IfModule>

# A link of a subscriber leads to his own files only, and nothing of his is run. Who wants more for all of them says so
# for this directory after the Include.
<Directory "{0}/served">
  Options SymLinksIfOwnerMatch
  AllowOverride None
  Require all granted
  <FilesMatch ".">
    SetHandler default-handler
  </FilesMatch>
</Directory>
<FilesMatch "^\.ht">
  Require all denied
</FilesMatch>
)";

constexpr std::string_view kSentence =
    R"(ErrorDocument 503 "<!DOCTYPE html><title>Not available</title><p>This site is not available at the moment.</p>"
)";

// {0}: the page, {1}: its directory, {2}: its name.
constexpr std::string_view kPage = R"(ErrorDocument 503 /.prov-suspended
RewriteCond "%{{ENV:REDIRECT_STATUS}}" "=503"
RewriteRule "^/\.prov-suspended$" "{0}" [L]
<Directory "{1}">
  <Files "{2}">
    Require all granted
  </Files>
</Directory>
)";

std::string RenderNotice(const std::string& page) {
  if (page.empty()) return std::string(kSentence);
  const size_t slash = page.rfind('/');
  return fmt::format(kPage, page, page.substr(0, std::max<size_t>(slash, 1)), page.substr(slash + 1));
}

}  // namespace

std::string RenderApacheSites(const ApacheSites& sites) {
  return fmt::format(kRules, sites.sites_root, RenderNotice(sites.suspended_page));
}

}  // namespace prov::drivers
