// Which messages of a queue are meant, on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "prov/v1/mail_queues.pb.h"

namespace prov::cli {

struct SelectionOptions {
  std::vector<std::string> ids;
  std::string recipient, recipient_domain, sender;
  bool all = false;
};

// `all_flag`: where nothing said does not mean all of them.
void AddSelectionOptions(CLI::App& command, SelectionOptions& options, bool all_flag);

// Nothing said is `all` where there is no such flag, and an error where there is.
absl::Status SetSelection(const SelectionOptions& options, bool all_flag, v1::QueueSelection& selection);

}  // namespace prov::cli
