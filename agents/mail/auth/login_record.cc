#include "agents/mail/auth/login_record.h"

#include "common/status.h"

namespace prov::auth {

FindLogin MailboxLogins(state::StateReader& state) {
  return [&state](const std::string& login) -> absl::StatusOr<LoginRecord> {
    PROV_ASSIGN_OR_RETURN(const v1::Mailbox mailbox, state.FindMailboxByLogin(login));
    return LoginRecord{mailbox.login_disposition(), mailbox.closed(), mailbox.credential_version(),
                       mailbox.mailbox_id(), mailbox.plan()};
  };
}

FindLogin SubmissionLogins(state::StateReader& state) {
  return [&state](const std::string& login) -> absl::StatusOr<LoginRecord> {
    PROV_ASSIGN_OR_RETURN(const v1::MailRoute route, state.FindMailRoute(login));
    // An alias is an address, and no login.
    if (route.login() != login) return absl::NotFoundError("no such login");
    return LoginRecord{route.submit(), false, route.credential_version(), ""};
  };
}

}  // namespace prov::auth
