// Limits on what an agent says of itself. Pure.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "prov/v1/agent_sync.pb.h"
#include "server/store/host_progress.h"

namespace prov::api {

// INVALID_ARGUMENT names the field.
absl::Status CheckHello(const v1::Hello& hello);
absl::Status CheckProgress(const v1::Progress& progress);

std::map<std::string, std::string> EndpointsOf(const v1::Hello& hello);
// Errors are cut to a length fit for a table.
std::vector<store::FailingItem> FailingOf(const v1::Progress& progress);
store::Inspection InspectionOf(const v1::Inspection& inspection);

}  // namespace prov::api
