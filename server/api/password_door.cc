#include "server/api/password_door.h"

#include <fmt/format.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "server/api/translation.h"
#include "server/api/write_call.h"
#include "server/model/password.h"

namespace prov::api {
namespace {

using model::Subscriber;
using store::SubscriberRepository;

constexpr char kMethod[] = "/prov.v1.Subscribers/SetPassword";
constexpr mode_t kSocketMode = 0660;  // the directory says to which group
constexpr int kWaiting = 16;
// slapd writes the whole request at once.
constexpr std::chrono::seconds kRequestPatience(1);
constexpr std::chrono::seconds kWritePatience(3);

// Each change is a revision, and a record in a log that is kept for ever.
constexpr char kTries[] = "tries";
constexpr Rate kTriesOfOne{.per_second = 1.0 / 60, .burst = 5};

absl::StatusOr<FileDescriptor> ListenAt(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(fmt::format("{}: is too long for a socket", path));
  path.copy(address.sun_path, path.size());
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) unlink(path.c_str());
  FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return ErrnoStatus(errno, "socket");
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), kSocketMode) != 0 || listen(listener.get(), kWaiting) != 0) {
    return ErrnoStatus(errno, path);
  }
  return listener;
}

bool WaitReadable(int fd, std::chrono::steady_clock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
  return left > 0 && poll(&one, 1, static_cast<int>(left)) > 0;
}

// Up to the blank line; whatever came by then when it does not come.
std::string ReadRequest(int client) {
  const auto deadline = std::chrono::steady_clock::now() + kRequestPatience;
  std::string text;
  text.reserve(directory::kMaxPasswordRequestOctets + 1);  // growing would leave copies of passwords behind
  while (text.size() <= directory::kMaxPasswordRequestOctets && !text.ends_with("\n\n")) {
    if (!WaitReadable(client, deadline)) break;
    char part[1024];
    const size_t room = directory::kMaxPasswordRequestOctets + 1 - text.size();
    const ssize_t got = recv(client, part, std::min(room, sizeof part), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(part, static_cast<size_t>(got));
    explicit_bzero(part, sizeof part);
  }
  return text;
}

void Reply(int client, const absl::Status& status) {
  const std::string reply = directory::PasswordReply(status);
  // A few octets into an empty buffer. Who is gone does not want to know.
  (void)send(client, reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The directory lets nobody bind who may not log in; who was bound before is refused here.
absl::Status MayChange(const Subscriber& subscriber) {
  if (subscriber.state == model::State::kActive) return absl::OkStatus();
  return absl::FailedPreconditionError("the password of this account cannot be changed now");
}

void LogChange(const directory::PasswordRequest& request, const absl::Status& changed) {
  if (changed.ok()) {
    Log(Level::kInfo, "password_changed", {{"login", request.login}, {"peer", request.peer}});
  } else {
    Log(Level::kWarning, "password_not_changed",
        {{"login", request.login}, {"peer", request.peer}, {"error", changed}});
  }
}

}  // namespace

PasswordDoor::PasswordDoor(Parts parts)
    : parts_(std::move(parts)), limiter_({{kTries, kTriesOfOne}}, SystemClock()) {}

PasswordDoor::~PasswordDoor() { Stop(); }

absl::Status PasswordDoor::Start(const std::string& path) {
  PROV_ASSIGN_OR_RETURN(listener_, ListenAt(path));
  path_ = path;
  stop_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid()) return ErrnoStatus(errno, "eventfd");
  thread_ = std::thread([this] { Listen(); });
  return absl::OkStatus();
}

void PasswordDoor::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
  gate_.Close();
  unlink(path_.c_str());
}

void PasswordDoor::Listen() {
  for (;;) {
    pollfd ready[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) {
      Log(Level::kError, "password_door_failed", {{"error", ErrnoStatus(errno, "poll")}});
      return;
    }
    if (ready[1].revents != 0) return;
    FileDescriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.valid()) Answer(std::move(client));
  }
}

void PasswordDoor::Answer(FileDescriptor client) {
  std::string text = ReadRequest(client.get());
  absl::StatusOr<directory::PasswordRequest> request = directory::ParsePasswordRequest(text, parts_.base);
  explicit_bzero(text.data(), text.size());
  if (!request.ok()) return Reply(client.get(), request.status());
  if (busy_.exchange(true)) {
    return Reply(client.get(), absl::ResourceExhaustedError("another password is being changed; try again"));
  }
  // Not "busy", which asks for another try at once.
  if (limiter_.TryTake(kTries, request->login).count() > 0) {
    busy_ = false;
    return Reply(client.get(), absl::InvalidArgumentError("too many changes; try again in a few minutes"));
  }
  // std::function wants what it holds to be copyable; a descriptor is not.
  struct Task {
    FileDescriptor client;
    directory::PasswordRequest request;
  };
  auto task = std::make_shared<Task>(Task{std::move(client), *std::move(request)});
  parts_.workers->Post(gate_.Wrap([this, task] {
    const absl::Status changed = Change(task->request);
    LogChange(task->request, changed);
    Reply(task->client.get(), changed);
    for (std::string* secret : {&task->request.old_password, &task->request.new_password})
      explicit_bzero(secret->data(), secret->size());
    busy_ = false;
  }));
}

absl::Status PasswordDoor::Change(const directory::PasswordRequest& request) {
  PROV_ASSIGN_OR_RETURN(const Subscriber known, parts_.subscribers->Get(request.login));
  PROV_RETURN_IF_ERROR(MayChange(known));
  if (!model::VerifyPassword(known.password_hash, request.old_password))
    return absl::UnauthenticatedError("the current password is wrong");
  PROV_RETURN_IF_ERROR(
      model::CheckPassword("password", request.new_password, known.login, parts_.least_password_characters));
  PROV_ASSIGN_OR_RETURN(const std::string hash, model::HashPassword(request.new_password));
  store::WriteContext context;
  context.caller = "subscriber/" + known.login;
  context.peer = request.peer;
  context.method = kMethod;
  context.deadline = std::chrono::system_clock::now() + kWritePatience;
  const auto body = [&](store::WriteTransaction& write) -> absl::StatusOr<store::WriteResult> {
    PROV_ASSIGN_OR_RETURN(Subscriber subscriber, SubscriberRepository::Find(write, std::to_string(known.id)));
    PROV_RETURN_IF_ERROR(MayChange(subscriber));
    // Somebody has set another since it was verified.
    if (subscriber.password_hash != known.password_hash)
      return absl::UnauthenticatedError("the current password is wrong");
    const v1::Subscriber before = ToProto(subscriber);
    subscriber.password_hash = hash;
    subscriber.credential_version = write.revision();
    PROV_ASSIGN_OR_RETURN(const Subscriber saved, SubscriberRepository::Save(write, subscriber));
    const v1::Subscriber after = ToProto(saved);
    return Result(after.name(), &before, after, after);
  };
  return parts_.writes->Run(std::move(context), body).status();
}

}  // namespace prov::api
