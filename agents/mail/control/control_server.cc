#include "agents/mail/control/control_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <list>
#include <system_error>
#include <utility>

#include "agents/mail/control/control_protocol.h"
#include "agents/mail/net/spawn.h"
#include "common/log.h"
#include "common/status.h"

namespace prov::control {
namespace {

using Protocol = asio::local::stream_protocol;

constexpr mode_t kSocketMode = 0600;
constexpr std::chrono::seconds kRequestPatience{10};
constexpr std::chrono::seconds kWritePatience{60};  // the agent may wait for provd, and that for a terminal
constexpr std::chrono::milliseconds kAcceptBackOff{100};

struct Shared {
  Shared(const asio::any_io_executor& executor, std::vector<ControlledQueue> queues, queue::TraceLog& trace,
         net::BlockingPool& pool)
      : executor(executor), queues(std::move(queues)), trace(trace), pool(pool), acceptor(executor) {}

  const asio::any_io_executor executor;
  const std::vector<ControlledQueue> queues;
  queue::TraceLog& trace;
  net::BlockingPool& pool;
  Protocol::acceptor acceptor;
  bool stopped = false;
  std::list<Protocol::socket*> open;
};

// One request and its answer.
class Conversation {
 public:
  Conversation(std::shared_ptr<Shared> shared, Protocol::socket socket)
      : shared_(std::move(shared)), socket_(std::move(socket)), timer_(shared_->executor) {
    place_ = shared_->open.insert(shared_->open.end(), &socket_);
  }
  Conversation(const Conversation&) = delete;
  ~Conversation() { shared_->open.erase(place_); }

  asio::awaitable<void> Run(bool busy) {
    if (busy) {
      (void)co_await Write(ErrorLine(absl::UnavailableError("the engine is asked much, come again")));
      co_return;
    }
    const absl::StatusOr<std::string> line = co_await ReadLine();
    if (!line.ok()) co_return;
    const absl::StatusOr<Request> request = ParseRequest(*line);
    absl::Status status = request.status();
    if (status.ok()) status = co_await Answer(*request);
    if (!status.ok()) (void)co_await Write(ErrorLine(status));
  }

 private:
  void Arm(std::chrono::seconds patience) {
    timer_.expires_after(patience);
    timer_.async_wait([this](std::error_code error) {
      std::error_code ignored;
      if (!error) socket_.close(ignored);
    });
  }

  asio::awaitable<absl::StatusOr<std::string>> ReadLine() {
    Arm(kRequestPatience);
    std::string text;
    std::error_code error;
    const size_t octets =
        co_await asio::async_read_until(socket_, asio::dynamic_buffer(text, kMaxRequestOctets), '\n',
                                        asio::redirect_error(asio::use_awaitable, error));
    timer_.cancel();
    if (error) co_return absl::UnavailableError(error.message());
    co_return text.substr(0, octets - 1);
  }

  asio::awaitable<absl::Status> Write(std::string text) {
    Arm(kWritePatience);
    std::error_code error;
    co_await asio::async_write(socket_, asio::buffer(text), asio::redirect_error(asio::use_awaitable, error));
    timer_.cancel();
    co_return error ? absl::CancelledError(error.message()) : absl::OkStatus();
  }

  asio::awaitable<absl::Status> Answer(const Request& request) {
    if (const auto* list = std::get_if<ListRequest>(&request)) co_return co_await List(*list);
    if (const auto* change = std::get_if<queue::Runner::Change>(&request)) co_return co_await Change(*change);
    co_return co_await Trace(std::get<queue::TraceQuery>(request));
  }

  bool IsReading() const {
    for (const ControlledQueue& queue : shared_->queues) {
      if (queue.runner->resuming()) return true;
    }
    return false;
  }

  asio::awaitable<absl::Status> List(const ListRequest& list) {
    uint64_t left = list.limit, queued = 0;
    bool cut = false;
    for (const ControlledQueue& queue : shared_->queues) {
      queued += queue.runner->messages();
      std::string after;
      do {
        std::string text;
        const std::vector<queue::StoredMessage> piece = co_await queue.runner->List(list.selection, after);
        for (const queue::StoredMessage& message : piece) {
          cut = left == 0;
          if (cut) break;
          --left;
          text += MessageLine(queue.name, message);
        }
        const absl::Status written = co_await Write(std::move(text));
        if (!written.ok()) co_return written;
        co_await asio::post(shared_->executor, asio::use_awaitable);  // others first
      } while (!after.empty() && !cut && !shared_->stopped);
    }
    co_return co_await Write(ListEndLine(queued, cut, IsReading()));
  }

  asio::awaitable<absl::Status> Change(const queue::Runner::Change& change) {
    queue::Runner::Changed all;
    const bool reading = IsReading();
    for (const ControlledQueue& queue : shared_->queues) {
      const absl::StatusOr<queue::Runner::Changed> changed = co_await queue.runner->Apply(change);
      if (!changed.ok()) co_return changed.status();
      all.matched += changed->matched;
      all.changed += changed->changed;
    }
    co_return co_await Write(ChangeEndLine(all, reading));
  }

  asio::awaitable<absl::Status> Trace(const queue::TraceQuery& query) {
    using Lines = absl::StatusOr<std::optional<std::vector<std::string>>>;
    queue::TraceReader reader(shared_->trace.directory(), query);
    co_await net::RunBlocking(shared_->pool, [this] { shared_->trace.Flush(); });
    while (!shared_->stopped) {
      const Lines lines = co_await net::RunBlocking(shared_->pool, [&reader] { return reader.Next(); });
      if (!lines.ok()) co_return lines.status();
      if (!*lines) co_return co_await Write(TraceEndLine(reader.cut()));
      std::string text;
      for (const std::string& line : **lines) text += EventLine(line);
      const absl::Status written = co_await Write(std::move(text));
      if (!written.ok()) co_return written;
    }
    co_return absl::UnavailableError("the engine is stopping");
  }

  const std::shared_ptr<Shared> shared_;
  Protocol::socket socket_;
  asio::steady_timer timer_;
  std::list<Protocol::socket*>::iterator place_;
};

asio::awaitable<void> Converse(std::shared_ptr<Shared> shared, Protocol::socket socket) {
  const bool busy = shared->open.size() >= kMostConnections;
  Conversation conversation(std::move(shared), std::move(socket));
  co_await conversation.Run(busy);
}

asio::awaitable<void> AcceptLoop(std::shared_ptr<Shared> shared) {
  asio::steady_timer pause(shared->executor);
  while (!shared->stopped) {
    std::error_code error;
    Protocol::socket socket =
        co_await shared->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (shared->stopped) break;
    if (!error) {
      net::Spawn(shared->executor, "control", Converse(shared, std::move(socket)));
      continue;
    }
    Log(Level::kError, "accept_failed", {{"protocol", "control"}, {"error", error.message()}});
    pause.expires_after(kAcceptBackOff);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

class UnixControlServer final : public ControlServer {
 public:
  explicit UnixControlServer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  ~UnixControlServer() override { Stop(); }

  void Stop() override {
    shared_->stopped = true;
    std::error_code ignored;
    shared_->acceptor.close(ignored);
    for (Protocol::socket* socket : shared_->open) socket->close(ignored);
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const asio::any_io_executor& executor,
                                                                    const std::string& path,
                                                                    std::vector<ControlledQueue> queues,
                                                                    queue::TraceLog& trace,
                                                                    net::BlockingPool& pool) {
  // Asio would throw.
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return absl::InvalidArgumentError(path + " is too long for a socket's name");
  auto shared = std::make_shared<Shared>(executor, std::move(queues), trace, pool);
  // The spool's lock says that no other engine works here.
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  std::error_code error;
  shared->acceptor.open(Protocol(), error);
  if (!error) shared->acceptor.bind(Protocol::endpoint(path), error);
  if (!error && chmod(path.c_str(), kSocketMode) != 0) return ErrnoStatus(errno, path);
  if (!error) shared->acceptor.listen(static_cast<int>(kMostConnections), error);
  if (error) return absl::UnavailableError("cannot listen on " + path + ": " + error.message());
  net::Spawn(executor, "control", AcceptLoop(shared));
  return std::make_unique<UnixControlServer>(std::move(shared));
}

}  // namespace prov::control
