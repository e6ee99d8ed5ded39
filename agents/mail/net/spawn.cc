#include "agents/mail/net/spawn.h"

#include <asio/co_spawn.hpp>
#include <exception>
#include <utility>

#include "common/log.h"

namespace prov::net {

void Spawn(const asio::any_io_executor& executor, const char* name, asio::awaitable<void> task,
           std::function<void()> done) {
  asio::co_spawn(executor, std::move(task),
                 [name, done = std::move(done)](const std::exception_ptr& failure) {
                   if (failure) {
                     try {
                       std::rethrow_exception(failure);
                     } catch (const std::exception& e) {
                       Log(Level::kError, "session_failed", {{"session", name}, {"error", e.what()}});
                     }
                   }
                   if (done) done();
                 });
}

}  // namespace prov::net
