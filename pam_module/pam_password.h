// PAM's password stage: a subscriber changes their own password.
#pragma once

#include <security/pam_modules.h>

namespace prov::pam {

// Both phases of pam_sm_chauthtok(3). May throw.
int ChangePasswordStage(pam_handle_t* pam, int flags, int argc, const char** argv);

}  // namespace prov::pam
