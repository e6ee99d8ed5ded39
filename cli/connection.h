// How provctl reaches provd.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

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

struct Connection {
  std::string server;  // host:port
  std::shared_ptr<grpc::Channel> channel;
};

// Dials nobody yet. INVALID_ARGUMENT when server or certificate are not known from options or file.
absl::StatusOr<Connection> Connect(ConnectionOptions options);

}  // namespace prov::cli
