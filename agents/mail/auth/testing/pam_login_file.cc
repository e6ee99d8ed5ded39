// A PAM module for tests: logins and passwords from the file that `file=` names, one `login:password:version`
// a line.
//
// Without the file the directory is down. Some passwords misbehave: "hang" never returns, "crash" kills the
// worker.
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

namespace {

std::string FileFrom(int argc, const char** argv) {
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.substr(0, 5) == "file=") return std::string(argument.substr(5));
  }
  return std::string();
}

void Misbehave(const std::string& password) {
  if (password == "crash") raise(SIGKILL);
  while (password == "hang") pause();
}

}  // namespace

extern "C" {

int pam_sm_authenticate(pam_handle_t* pam, int, int argc, const char** argv) {
  const char* login = nullptr;
  if (pam_get_user(pam, &login, nullptr) != PAM_SUCCESS) return PAM_USER_UNKNOWN;
  const void* item = nullptr;
  if (pam_get_item(pam, PAM_CONV, &item) != PAM_SUCCESS || item == nullptr) return PAM_SYSTEM_ERR;
  const auto* conversation = static_cast<const pam_conv*>(item);
  const pam_message message{PAM_PROMPT_ECHO_OFF, "Password: "};
  const pam_message* messages = &message;
  pam_response* response = nullptr;
  if (conversation->conv(1, &messages, &response, conversation->appdata_ptr) != PAM_SUCCESS)
    return PAM_CONV_ERR;
  const std::string password = response->resp;
  free(response->resp);
  free(response);
  Misbehave(password);
  std::ifstream file(FileFrom(argc, argv));
  if (!file) return PAM_AUTHINFO_UNAVAIL;
  const std::string wanted = std::string(login) + ":" + password + ":";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, wanted.size(), wanted) != 0) continue;
    const std::string version = line.substr(wanted.size());
    if (!version.empty()) pam_putenv(pam, ("PROV_CREDENTIAL_VERSION=" + version).c_str());
    return PAM_SUCCESS;
  }
  return PAM_AUTH_ERR;
}

int pam_sm_setcred(pam_handle_t*, int, int, const char**) { return PAM_SUCCESS; }

// "noservice" in the login stands for a subscriber without the entitlement, "expired" for an account that is.
int pam_sm_acct_mgmt(pam_handle_t* pam, int, int, const char**) {
  const char* login = nullptr;
  if (pam_get_user(pam, &login, nullptr) != PAM_SUCCESS) return PAM_USER_UNKNOWN;
  if (strstr(login, "expired") != nullptr) return PAM_ACCT_EXPIRED;
  return strstr(login, "noservice") != nullptr ? PAM_PERM_DENIED : PAM_SUCCESS;
}

}  // extern "C"
