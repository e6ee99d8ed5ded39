#include "cli/queue_selection.h"

#include "common/status.h"
#include "common/utf8.h"

namespace prov::cli {

void AddSelectionOptions(CLI::App& command, SelectionOptions& options, bool all_flag) {
  command.add_option("ids", options.ids, "of messages, as queue show prints them");
  command.add_option("--recipient", options.recipient, "waiting for this address");
  command.add_option("--recipient-domain", options.recipient_domain, "waiting for an address of this domain");
  command.add_option("--sender", options.sender, "from this address; \"<>\" is the null sender");
  if (all_flag) command.add_flag("--all", options.all, "all of them");
}

absl::Status SetSelection(const SelectionOptions& o, bool all_flag, v1::QueueSelection& selection) {
  for (const std::string& text : {o.recipient, o.recipient_domain, o.sender}) {
    if (!IsValidUtf8(text)) return InvalidField("selection", "is not valid UTF-8");
  }
  for (const std::string& id : o.ids) {
    if (!IsValidUtf8(id)) return InvalidField("ids", "are not valid UTF-8");
    selection.add_ids(id);
  }
  selection.set_recipient(o.recipient);
  selection.set_recipient_domain(o.recipient_domain);
  selection.set_sender(o.sender);
  const bool narrow =
      !o.ids.empty() || !o.recipient.empty() || !o.recipient_domain.empty() || !o.sender.empty();
  if (all_flag && !narrow && !o.all) {
    return InvalidField("ids", "are required, or --recipient, --recipient-domain, --sender, or --all");
  }
  if (narrow && o.all) return InvalidField("--all", "is all of them: nothing else goes with it");
  selection.set_all(!narrow);
  return absl::OkStatus();
}

}  // namespace prov::cli
