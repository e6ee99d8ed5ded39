// The publisher's turn as an advisory lock, which PostgreSQL takes back when this provd or its connection
// dies.
#pragma once

#include <memory>
#include <string>

#include "server/store/publisher_turn.h"

namespace prov::store {

std::unique_ptr<PublisherTurn> MakePostgresPublisherTurn(const std::string& conninfo);

}  // namespace prov::store
