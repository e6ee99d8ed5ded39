// What the program that called PAM asks for, and with which configuration.
#pragma once

#include <security/pam_modules.h>
#include <string.h>

#include <optional>
#include <string>

#include "pam_module/config.h"

namespace prov::pam {

constexpr size_t kMaxLoginOctets = 254;
constexpr size_t kMaxPasswordOctets = 512;  // provd takes no longer one

// A secret's copy, wiped when it goes.
struct Wiped {
  std::string text;
  ~Wiped() { explicit_bzero(text.data(), text.size()); }
};

struct Names {
  std::string service;
  std::string login;
};

// PAM_SUCCESS, or what to return to PAM. Asks for the login where it is not known yet.
int GetNames(pam_handle_t* pam, Names& names);

// As the module's arguments say. Nothing: it is wrong, which the log tells.
std::optional<Config> ConfigFor(pam_handle_t* pam, int argc, const char** argv);

}  // namespace prov::pam
