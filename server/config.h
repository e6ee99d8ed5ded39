// provd.toml.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "server/directory/services.h"
#include "server/model/harm_limits.h"

namespace prov {

struct ProvdConfig {
  std::string listen;   // host:port of the API
  std::string metrics;  // host:port; empty: none
  std::string log_level;

  struct Tls {
    std::string ca, certificate, key;  // PEM files
  } tls;

  struct Enrolment {
    std::string ca_directory;  // empty: no enrolment, and nothing is signed
    std::string listen;        // host:port for those without a certificate
    std::chrono::milliseconds host_lifetime{0}, caller_lifetime{0};
  } enrolment;

  struct Limits {
    std::map<std::string, int64_t> per_second;  // calls, by role; 0: no limit
    std::chrono::milliseconds burst{0};         // so much time's calls may come at once
  } limits;

  struct Postgres {
    std::string connection;  // libpq conninfo
    size_t connections = 0;  // for reading; writing and listening have their own
  } postgres;

  struct Directory {
    std::string uri, base, bind_dn;
    std::string password_file;
    std::string ca;
    bool starttls = false;
    std::string password_socket;  // where slapd hands password changes over; empty: it does not
    std::string home_prefix;
    size_t most_removals = 0;
    directory::Services services;
  } directory;

  std::chrono::milliseconds undelete{0};
  std::chrono::milliseconds keep_changes{0};
  model::HarmLimits harm;
  size_t least_password_characters = 0;
};

// INVALID_ARGUMENT names file, line and key of every error.
absl::StatusOr<ProvdConfig> LoadProvdConfig(const std::string& path);

}  // namespace prov
