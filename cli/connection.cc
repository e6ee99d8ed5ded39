#include "cli/connection.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>
#include <unistd.h>

#include <cstdlib>

#include "common/config.h"
#include "common/grpc_tls.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr int kMaxAnswerOctets = 64 << 20;
// gRPC would rest for a second between two attempts to connect, longer than our own retries take.
constexpr int kReconnectMilliseconds = 100;
constexpr int kConnectMilliseconds = 5000;

absl::Status ReadConfig(ConnectionOptions& options) {
  if (options.config.empty()) options.config = FindConfig();
  if (options.config.empty()) return absl::OkStatus();
  PROV_ASSIGN_OR_RETURN(ConfigReader reader, ConfigReader::Load(options.config));
  const auto fill = [](std::string& option, std::string value) {
    if (option.empty()) option = std::move(value);
  };
  fill(options.server, reader.String("server", ""));
  fill(options.ca, reader.Path("ca", ""));
  fill(options.certificate, reader.Path("certificate", ""));
  fill(options.key, reader.Path("key", ""));
  return reader.Finish();
}

}  // namespace

std::string FindConfig() {
  if (const char* named = std::getenv("PROVCTL_CONFIG"); named != nullptr && *named != '\0') return named;
  if (const char* home = std::getenv("HOME"); home != nullptr) {
    const std::string path = fmt::format("{}/.config/provctl.toml", home);
    if (access(path.c_str(), R_OK) == 0) return path;
  }
  const std::string path = "/etc/prov/provctl.toml";
  return access(path.c_str(), R_OK) == 0 ? path : "";
}

absl::StatusOr<Connection> Connect(ConnectionOptions options) {
  PROV_RETURN_IF_ERROR(ReadConfig(options));
  for (const auto& [name, value] : {std::pair<const char*, const std::string&>{"server", options.server},
                                    {"ca", options.ca},
                                    {"certificate", options.certificate},
                                    {"key", options.key}}) {
    if (value.empty()) {
      return InvalidField(name,
                          fmt::format("is not known; give --{} or put it into ~/.config/provctl.toml or "
                                      "/etc/prov/provctl.toml",
                                      name));
    }
  }
  PROV_ASSIGN_OR_RETURN(const auto credentials, ClientTls({options.ca, options.certificate, options.key}));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerOctets);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  return Connection{options.server, grpc::CreateCustomChannel(options.server, credentials, arguments)};
}

}  // namespace prov::cli
