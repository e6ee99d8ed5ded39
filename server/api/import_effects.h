// What the directory and the hosts would have to do for an import.
#pragma once

#include <vector>

#include "prov/v1/subscribers.pb.h"
#include "server/api/import_plan.h"
#include "server/directory/mapping.h"
#include "server/feed/view.h"

namespace prov::api {

// By follower: "directory" first, then the pools that see subscribers, in order of their ids. Pure.
std::vector<v1::ImportEffect> EffectsOf(const std::vector<ImportStep>& steps, const feed::Fleet& fleet,
                                        const directory::MappingOptions& mapping);

}  // namespace prov::api
