// Starts a coroutine that nobody waits for.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <functional>

namespace prov::net {

// An exception that ends it is logged as `session_failed` with `name`, and the program goes on. `done`, if
// any, runs after it on the executor in every case.
void Spawn(const asio::any_io_executor& executor, const char* name, asio::awaitable<void> task,
           std::function<void()> done = nullptr);

}  // namespace prov::net
