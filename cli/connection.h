// How provctl reaches provd.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov::cli {

struct ConnectionOptions {
  std::string config;  // file; empty: looked for, see FindConfig
  std::string server;  // what is set here wins over the file
  std::string ca;
  std::string certificate;
  std::string key;
};

// $PROVCTL_CONFIG, ~/.config/provctl.toml, /etc/prov/provctl.toml: the first that is there; "" if none.
std::string FindConfig();

// INVALID_ARGUMENT when server or certificate are not known from options or file.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(ConnectionOptions options);

}  // namespace prov::cli
