#include "agents/control/engine_channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/file.h"
#include "common/status.h"

namespace prov::control {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook{500};            // between two looks whether the caller has gone
constexpr std::chrono::seconds kSilence{60};  // of the engine, until it is given up
constexpr size_t kMaxErrorOctets = 1000;

absl::Status NoEngine(std::string_view why) {
  return absl::UnavailableError(
      fmt::format("the host's engine does not answer ({}); see prov-engine's log there", why));
}

absl::StatusOr<FileDescriptor> ConnectTo(const std::string& path, uid_t user) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return absl::FailedPreconditionError(path + " is too long for a socket's name");
  memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "make a socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return NoEngine(strerror(errno));
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ErrnoStatus(errno, "look who listens");
  if (peer.uid != user) return NoEngine("another user listens there");
  return socket;
}

// An error of the engine, in its own words.
absl::Status ErrorOf(const json& line) {
  const std::string text = line.value("error", json("")).is_string() ? line["error"].get<std::string>() : "";
  const auto code = line.find("code");
  const bool known = code != line.end() && code->is_number_integer();
  const int number = known ? code->get<int>() : static_cast<int>(absl::StatusCode::kUnknown);
  const bool good = number > 0 && number <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return absl::Status(good ? static_cast<absl::StatusCode>(number) : absl::StatusCode::kUnknown,
                      fmt::format("the host's engine says: {}", text.substr(0, kMaxErrorOctets)));
}

class Conversation {
 public:
  Conversation(FileDescriptor socket, const EngineChannel::Question& question)
      : socket_(std::move(socket)), question_(question) {}

  absl::Status Send(std::string_view text) {
    while (!text.empty()) {
      PROV_RETURN_IF_ERROR(Await(POLLOUT));
      const ssize_t sent = send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (sent < 0) return NoEngine(strerror(errno));
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<json> Receive() {
    for (;;) {
      size_t begin = 0;
      for (size_t end = text_.find('\n'); end != text_.npos; end = text_.find('\n', begin)) {
        const json line = json::parse(text_.begin() + static_cast<std::ptrdiff_t>(begin),
                                      text_.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
        begin = end + 1;
        if (!line.is_object()) return NoEngine("it does not speak JSON");
        if (const auto last = line.find("end"); last != line.end()) return *last;
        if (line.contains("error")) return ErrorOf(line);
        PROV_RETURN_IF_ERROR(question_.line(line));
      }
      text_.erase(0, begin);
      if (text_.size() > kMaxAnswerLineOctets) return NoEngine("its lines are too long");
      PROV_RETURN_IF_ERROR(Read());
    }
  }

 private:
  absl::Status Read() {
    PROV_RETURN_IF_ERROR(Await(POLLIN));
    char octets[64 << 10];
    const ssize_t got = recv(socket_.get(), octets, sizeof octets, 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
    if (got < 0) return NoEngine(strerror(errno));
    if (got == 0) return NoEngine("it broke off");
    text_.append(octets, static_cast<size_t>(got));
    return absl::OkStatus();
  }

  absl::Status Await(short events) const {
    const auto until = steady_clock::now() + kSilence;
    for (;;) {
      pollfd ready = {socket_.get(), events, 0};
      const int count = poll(&ready, 1, static_cast<int>(kLook.count()));
      if (count > 0) return absl::OkStatus();
      if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "wait for the engine");
      if (question_.cancelled && question_.cancelled()) return absl::CancelledError("the caller has gone");
      if (steady_clock::now() > until) return NoEngine("it is silent");
    }
  }

  const FileDescriptor socket_;
  const EngineChannel::Question& question_;
  std::string text_;
};

}  // namespace

absl::StatusOr<json> EngineChannel::Ask(const Question& question) const {
  PROV_ASSIGN_OR_RETURN(FileDescriptor socket, ConnectTo(path_, user_.value_or(geteuid())));
  Conversation conversation(std::move(socket), question);
  PROV_RETURN_IF_ERROR(
      conversation.Send(question.request->dump(-1, ' ', false, json::error_handler_t::replace) + "\n"));
  return conversation.Receive();
}

}  // namespace prov::control
