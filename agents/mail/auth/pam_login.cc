#include "agents/mail/auth/pam_login.h"

#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

#include "agents/mail/auth/secret.h"

namespace prov::auth {
namespace {

constexpr char kCredentialVersionVariable[] = "PROV_CREDENTIAL_VERSION";
constexpr size_t kMaxVersionOctets = 20;  // of a 64 bit number

struct Answers {
  const char* login;
  const char* password;
};

char* AnswerTo(int style, const Answers& answers) {
  if (style == PAM_PROMPT_ECHO_OFF) return strdup(answers.password);
  if (style == PAM_PROMPT_ECHO_ON) return strdup(answers.login);
  return nullptr;
}

void FreeResponses(pam_response* responses, int count) {
  for (int i = 0; i < count; ++i) {
    if (responses[i].resp == nullptr) continue;
    explicit_bzero(responses[i].resp, strlen(responses[i].resp));
    free(responses[i].resp);
  }
  free(responses);
}

// PAM takes the responses over and frees them.
int Converse(int count, const pam_message** messages, pam_response** responses, void* data) {
  if (count <= 0 || count > PAM_MAX_NUM_MSG) return PAM_CONV_ERR;
  auto* filled = static_cast<pam_response*>(calloc(static_cast<size_t>(count), sizeof(pam_response)));
  if (filled == nullptr) return PAM_BUF_ERR;
  for (int i = 0; i < count; ++i) {
    const int style = messages[i]->msg_style;
    filled[i].resp = AnswerTo(style, *static_cast<const Answers*>(data));
    const bool wants_answer = style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON;
    if (wants_answer && filled[i].resp == nullptr) {
      FreeResponses(filled, count);
      return PAM_BUF_ERR;
    }
  }
  *responses = filled;
  return PAM_SUCCESS;
}

// Modules ask for a pause after a failure. The engine holds refusals back by itself, and a sleeping worker
// would hold up everybody.
void NoDelay(int, unsigned, void*) {}

PamVerdict VerdictOf(int code) {
  switch (code) {
    case PAM_SUCCESS:
      return PamVerdict::kOk;
    case PAM_AUTH_ERR:
    case PAM_USER_UNKNOWN:
    case PAM_MAXTRIES:
      return PamVerdict::kWrongOrUnknown;
    case PAM_PERM_DENIED:
      return PamVerdict::kNotAllowed;
    case PAM_ACCT_EXPIRED:
    case PAM_NEW_AUTHTOK_REQD:
    case PAM_CRED_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
      return PamVerdict::kExpired;
    default:  // above all PAM_AUTHINFO_UNAVAIL: it says nothing about the password
      return PamVerdict::kUnavailable;
  }
}

std::string VersionFrom(pam_handle_t* pam) {
  const char* value = pam_getenv(pam, kCredentialVersionVariable);
  if (value == nullptr || strlen(value) > kMaxVersionOctets) return std::string();
  return value;
}

class PamHandle {
 public:
  ~PamHandle() {
    if (handle_ != nullptr) pam_end(handle_, last_);
  }
  int Start(const std::string& config_directory, const WorkerRequest& request, const pam_conv& conversation) {
    const char* service = request.service.c_str();
    const char* login = request.login.c_str();
    last_ = config_directory.empty()
                ? pam_start(service, login, &conversation, &handle_)
                : pam_start_confdir(service, login, &conversation, config_directory.c_str(), &handle_);
    if (last_ != PAM_SUCCESS) return last_;
    last_ = pam_set_item(handle_, PAM_FAIL_DELAY, reinterpret_cast<const void*>(&NoDelay));
    if (last_ != PAM_SUCCESS || request.remote_address.empty()) return last_;
    return last_ = pam_set_item(handle_, PAM_RHOST, request.remote_address.c_str());
  }
  // PAM_DISALLOW_NULL_AUTHTOK: an empty password is never right.
  int Authenticate() { return last_ = pam_authenticate(handle_, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK); }
  int Account() { return last_ = pam_acct_mgmt(handle_, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK); }
  pam_handle_t* get() { return handle_; }

 private:
  pam_handle_t* handle_ = nullptr;
  int last_ = PAM_SUCCESS;
};

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

WorkerReply LoginThroughPam(const std::string& config_directory, const WorkerRequest& request) {
  // PAM's strings end at a NUL: "secret\0anything" must not be "secret".
  if (HasNul(request.service) || HasNul(request.login) || HasNul(request.password.Reveal()) ||
      HasNul(request.remote_address) || request.service.find('/') != std::string::npos) {
    return {PamVerdict::kWrongOrUnknown, "a field cannot be given to PAM", ""};
  }
  std::string password(request.password.Reveal());
  Answers answers{request.login.c_str(), password.c_str()};
  const pam_conv conversation{&Converse, &answers};
  WorkerReply reply;
  {
    PamHandle pam;
    int code = pam.Start(config_directory, request, conversation);
    // Before authentication nothing has been said about the password, whatever the code.
    const bool started = code == PAM_SUCCESS;
    if (started) code = pam.Authenticate();
    const bool authenticated = started && code == PAM_SUCCESS;
    if (authenticated) code = pam.Account();
    reply.verdict = started ? VerdictOf(code) : PamVerdict::kUnavailable;
    // An account that no longer is, behind a right password: not a wrong password.
    if (authenticated && reply.verdict == PamVerdict::kWrongOrUnknown)
      reply.verdict = PamVerdict::kNotAllowed;
    reply.text = pam.get() != nullptr ? pam_strerror(pam.get(), code) : "pam_start failed";
    if (reply.verdict == PamVerdict::kOk) reply.credential_version = VersionFrom(pam.get());
  }
  Wipe(password);
  return reply;
}

}  // namespace prov::auth
