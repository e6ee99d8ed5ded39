#include "agents/mail/net/loops.h"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <thread>

namespace prov::net {

struct LoopThreads::Contexts {
  // One thread runs each.
  std::vector<std::unique_ptr<asio::io_context>> all;
};

LoopThreads::LoopThreads(size_t count) : contexts_(std::make_unique<Contexts>()) {
  for (size_t i = 0; i < count; ++i) contexts_->all.push_back(std::make_unique<asio::io_context>(1));
}

LoopThreads::~LoopThreads() = default;

Loops LoopThreads::loops() const {
  std::vector<asio::any_io_executor> executors;
  for (const auto& context : contexts_->all) executors.push_back(context->get_executor());
  return Loops(std::move(executors));
}

void LoopThreads::Run() {
  std::vector<asio::executor_work_guard<asio::io_context::executor_type>> busy;  // until Stop, though idle
  std::vector<std::thread> threads;
  for (const auto& context : contexts_->all) busy.push_back(asio::make_work_guard(*context));
  for (size_t i = 1; i < contexts_->all.size(); ++i)
    threads.emplace_back([loop = contexts_->all[i].get()] { loop->run(); });
  contexts_->all.front()->run();
  for (std::thread& thread : threads) thread.join();
}

void LoopThreads::Stop() {
  for (const auto& context : contexts_->all) context->stop();
}

}  // namespace prov::net
