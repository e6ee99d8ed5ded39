#include "agents/import_uidls_command.h"

#include <fmt/format.h>

#include <cstdio>

#include "agents/exit_status.h"
#include "agents/mail/maildir/dovecot_uidlist.h"
#include "agents/mail/maildir/uidl_import.h"
#include "common/file.h"
#include "common/status.h"

namespace prov {
namespace {

// Some hundred thousand messages.
constexpr size_t kMaxUidlistOctets = 64 << 20;

absl::StatusOr<maildir::UidlImport> Import(const std::string& root, const ImportUidlsArguments& arguments) {
  if (arguments.from_headers) return maildir::ImportXUidls(root, arguments.mailbox_id);
  PROV_ASSIGN_OR_RETURN(const std::string uidlist, ReadFile(arguments.dovecot_uidlist, kMaxUidlistOctets));
  const std::string format = arguments.format.empty() ? maildir::kDovecotUidlFormat : arguments.format;
  const auto uidls = maildir::DovecotUidls(uidlist, format);
  if (!uidls.ok()) return Annotate(uidls.status(), arguments.dovecot_uidlist);
  return maildir::ImportUidls(root, arguments.mailbox_id, *uidls);
}

}  // namespace

int RunImportUidls(const AgentConfig& config, const ImportUidlsArguments& arguments) {
  const auto imported = Import(config.store.maildir_root, arguments);
  if (!imported.ok()) {
    fmt::print(stderr, "prov-agent: {}\n", MessageOf(imported.status()));
    return kExitFailure;
  }
  fmt::print(
      "{} messages have got their UIDL, {} have it already, {} keep another one: of {} nothing is known, {} "
      "have "
      "that of another message\n",
      imported->named, imported->before, imported->without + imported->twice, imported->without,
      imported->twice);
  return 0;
}

}  // namespace prov
