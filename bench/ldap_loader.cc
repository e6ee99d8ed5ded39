// The peer of an import: the directory's own entries, under other names, added over one connection in RFC
// 5805 transactions. All that a loader can be told is told before the clock starts; nothing else is kept, or
// followed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "common/ldap/connection.h"
#include "common/status.h"

namespace prov::bench {
namespace {

struct Options {
  std::string uri, bind_dn, password_file, base;
  size_t count = 10'000, batch = 500;
};

void ReplaceAll(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

ldap::Entry Renamed(ldap::Entry entry, size_t number) {
  const std::string login = entry.attributes.at("uid").front(),
                    other = fmt::format("loader{}@example.net", number);
  ReplaceAll(entry.dn, login, other);
  for (auto& [name, values] : entry.attributes) {
    for (std::string& value : values) ReplaceAll(value, login, other);
  }
  return entry;
}

absl::Status Run(const Options& o) {
  std::ifstream file(o.password_file);
  const std::string password((std::istreambuf_iterator<char>(file)), {});
  PROV_ASSIGN_OR_RETURN(const auto connection,
                        ldap::Connection::Open({.uri = o.uri, .operation_timeout = std::chrono::minutes(2)}));
  PROV_RETURN_IF_ERROR(connection->Bind(o.bind_dn, password));
  std::vector<ldap::Write> writes;
  const absl::Status searched =
      connection->SearchEach({.base = "ou=people," + o.base,
                              .scope = ldap::Scope::kOneLevel,
                              .filter = ldap::Filter::Equal("objectClass", "inetOrgPerson")},
                             [&](ldap::Entry entry) {
                               if (writes.size() == o.count) return absl::OutOfRangeError("enough");
                               writes.push_back(ldap::Add{Renamed(std::move(entry), writes.size())});
                               return absl::OkStatus();
                             });
  if (!searched.ok() && !absl::IsOutOfRange(searched)) return searched;
  const auto start = std::chrono::steady_clock::now();
  for (size_t at = 0; at < writes.size(); at += o.batch) {
    const auto end = writes.begin() + static_cast<ptrdiff_t>(std::min(writes.size(), at + o.batch));
    ldap::Culprit culprit;
    PROV_RETURN_IF_ERROR(connection->ApplyAll({writes.begin() + static_cast<ptrdiff_t>(at), end}, &culprit));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{{\"entries\": {}, \"per_second\": {:.1f}}}\n", writes.size(),
             static_cast<double>(writes.size()) / seconds);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Adds the entries below ou=people once more, under other names, in LDAP transactions.");
  app.add_option("--uri", options.uri)->required();
  app.add_option("--bind-dn", options.bind_dn)->required();
  app.add_option("--password-file", options.password_file)->required();
  app.add_option("--base", options.base)->required();
  app.add_option("--count", options.count)->capture_default_str();
  app.add_option("--batch", options.batch)->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "ldap_loader: {}\n", MessageOf(status));
  return 1;
}

}  // namespace
}  // namespace prov::bench

int main(int argc, char** argv) { return prov::bench::Main(argc, argv); }
