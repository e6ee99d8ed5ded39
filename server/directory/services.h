// Which PAM service names each right of a subscriber opens: the values of authorizedService.
#pragma once

#include <string>
#include <vector>

namespace prov::directory {

struct Services {
  std::vector<std::string> login = {"prov-pop3", "pop3", "imap", "dovecot"};
  std::vector<std::string> submit = {"prov-smtp", "smtp"};
  std::vector<std::string> ftp = {"prov-ftp", "ftp", "vsftpd"};
  std::vector<std::string> web = {"prov-web"};
};

}  // namespace prov::directory
