#include "agents/mail/net/blocking.h"

#include <asio/thread_pool.hpp>

namespace prov::net {

struct BlockingPool::Threads {
  explicit Threads(size_t count) : pool(count) {}
  asio::thread_pool pool;
};

BlockingPool::BlockingPool(size_t threads) : threads_(std::make_unique<Threads>(threads)) {}

BlockingPool::~BlockingPool() { Join(); }

void BlockingPool::Post(std::function<void()> work) { asio::post(threads_->pool, std::move(work)); }

void BlockingPool::Join() { threads_->pool.join(); }

}  // namespace prov::net
