// Followers as messages of the API.
#pragma once

#include "prov/v1/operations.pb.h"
#include "server/feed/convergence.h"

namespace prov::api {

v1::FollowerProgress ToProto(const feed::Follower& follower);

}  // namespace prov::api
