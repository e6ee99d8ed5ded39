// pam_prov.toml.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::pam {

struct Config {
  std::vector<std::string> uris;  // tried in this order: ldapi://, ldaps://, or ldap:// with starttls
  std::string base;
  std::string bind_dn;
  std::string bind_password;  // read from bind_password_file
  std::string ca;             // PEM file; empty: the system's
  bool starttls = false;
  // For one login, all servers together.
  std::chrono::milliseconds timeout{3000};
  // A server that failed is passed over for so long, while another one answers.
  std::chrono::milliseconds dead_for{30000};
};

// Read anew for each login. Errors name the file and the key. Independent of prov::ConfigReader, and so of
// Protobuf, which ends a program that holds it twice.
absl::StatusOr<Config> LoadConfig(const std::string& path);

}  // namespace prov::pam
