// prov-agent import-uidls: mail that was brought from another server keeps the UIDLs it had there.
#pragma once

#include <string>

#include "agents/config.h"

namespace prov {

struct ImportUidlsArguments {
  std::string mailbox_id;
  bool from_headers = false;    // X-UIDL; else:
  std::string dovecot_uidlist;  // file
  std::string format;           // of Dovecot's UIDLs; empty: its default
};

// The exit status; what was done is on standard output, what went wrong on standard error.
int RunImportUidls(const AgentConfig& config, const ImportUidlsArguments& arguments);

}  // namespace prov
