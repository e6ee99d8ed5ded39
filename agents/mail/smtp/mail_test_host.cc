#include "agents/mail/smtp/mail_test_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <sstream>

#include "agents/mail/maildir/layout.h"
#include "agents/state/test_records.h"
#include "common/clock.h"

namespace prov::smtp {
namespace {

void Check(const absl::Status& status) {
  if (!status.ok()) {
    fprintf(stderr, "test host: %s\n", status.ToString().c_str());
    abort();
  }
}

}  // namespace

MailTestHost::MailTestHost(const std::string& directory, v1::Role role) : role_(role) {
  config.host = role == v1::RELAY ? "relay1" : "store1";
  config.roles = {role};
  config.state_directory = directory + "/state";
  config.store.maildir_root = directory + "/mail";
  config.engine.hostname = config.host + ".example.net";
  config.engine.smtp.listen = config.engine.lmtp.listen = {"127.0.0.1:0"};
  config.engine.smtp.max_message_octets = 1 << 20;
  config.engine.queue.directory = directory + "/queue";
  config.engine.queue.first_retry = std::chrono::milliseconds(50);
  config.engine.queue.longest_retry = std::chrono::milliseconds(200);
  config.engine.queue.give_up = std::chrono::hours(1);
  for (const std::string& made : {directory, config.state_directory, config.store.maildir_root}) {
    std::filesystem::create_directories(made);
  }
  auto writer = state::StateWriter::Open(config.state_directory);
  Check(writer.status());
  writer_ = *std::move(writer);
}

MailTestHost::~MailTestHost() { Stop(); }

void MailTestHost::Fill(const std::vector<v1::Record>& records, uint64_t revision) {
  Check(writer_->BeginSnapshot(role_));
  Check(writer_->ApplySnapshotBatch(role_, state::BatchOf(revision, records)));
  state::RemovalLimit limit;
  limit.allowed = 1000;
  Check(writer_->EndSnapshot(role_, revision, limit));
  Confirm(revision);
}

void MailTestHost::Confirm(uint64_t head) { Check(writer_->ConfirmHead(role_, head, SystemClock().Now())); }

void MailTestHost::Start() {
  auto reader = state::StateReader::Open(config.state_directory);
  Check(reader.status());
  reader_ = *std::move(reader);
  loop_ = std::make_unique<asio::io_context>(1);
  pool_ = std::make_unique<net::BlockingPool>(4);
  auto& start = role_ == v1::RELAY ? StartRelay : StartStore;
  auto server = start(loop_->get_executor(), config, *reader_, *pool_, SystemClock());
  Check(server.status());
  server_ = *std::move(server);
  thread_ = std::thread([this] {
    const auto work = asio::make_work_guard(*loop_);  // a loop that ran dry would answer no more
    loop_->run();
  });
}

void MailTestHost::Stop() {
  if (!thread_.joinable()) return;
  asio::post(*loop_, [this] { server_->Stop(); });
  Eventually([this] {
    std::promise<size_t> busy;
    asio::post(*loop_, [&] { busy.set_value(server_->busy()); });
    return busy.get_future().get() == 0;
  });
  loop_->stop();
  thread_.join();
  pool_->Join();
  server_.reset();
  pool_.reset();
  loop_.reset();
}

WireClient::WireClient(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval patience = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    fd_ = fd;
  } else {
    close(fd);
  }
}

WireClient::~WireClient() {
  if (fd_ >= 0) close(fd_);
}

void WireClient::Send(const std::string& octets) {
  for (size_t sent = 0; sent < octets.size();) {
    const ssize_t got = send(fd_, octets.data() + sent, octets.size() - sent, MSG_NOSIGNAL);
    if (got <= 0) return;
    sent += static_cast<size_t>(got);
  }
}

std::string WireClient::Reply() {
  std::string reply;
  for (;;) {
    for (size_t end = buffer_.find('\n'); end != buffer_.npos; end = buffer_.find('\n')) {
      const std::string line = buffer_.substr(0, end + 1);
      buffer_.erase(0, end + 1);
      reply += line;
      if (line.size() < 4 || line[3] != '-') return reply;
    }
    char chunk[4096];
    const ssize_t got = recv(fd_, chunk, sizeof chunk, 0);
    if (got <= 0) return reply + buffer_;
    buffer_.append(chunk, static_cast<size_t>(got));
  }
}

v1::Record DomainRecord(const std::string& name, const std::string& alias_of, const std::string& catch_all) {
  v1::Record record;
  record.set_key("domains/" + name);
  record.set_revision(1);
  record.mutable_domain()->set_domain(name);
  record.mutable_domain()->set_alias_of(alias_of);
  record.mutable_domain()->set_catch_all(catch_all);
  return record;
}

v1::Record PoolRecord(const std::string& lmtp) {
  v1::Record record;
  record.set_key("pools/main");
  record.set_revision(1);
  record.mutable_pool()->set_pool("main");
  record.mutable_pool()->set_role(v1::STORE);
  v1::PoolMembers::Member* member = record.mutable_pool()->add_members();
  member->set_host("store1");
  member->set_weight(1);
  (*member->mutable_endpoints())["lmtp"] = lmtp;
  return record;
}

v1::Record RouteTo(const std::string& address, v1::Disposition receive) {
  v1::Record record;
  record.set_key("subscribers/" + std::to_string(std::hash<std::string>()(address)));
  record.set_revision(1);
  record.mutable_mail_route()->add_addresses(address);
  record.mutable_mail_route()->set_pool("main");
  record.mutable_mail_route()->set_receive(receive);
  return record;
}

v1::Record MailboxOf(const std::string& id, const std::string& address,
                     const std::vector<std::string>& forwards, bool keep_copy, v1::Disposition receive) {
  v1::Record record;
  record.set_key("subscribers/" + std::to_string(std::hash<std::string>()(address)));
  record.set_revision(1);
  v1::Mailbox* mailbox = record.mutable_mailbox();
  mailbox->set_mailbox_id(id);
  mailbox->set_login(address);
  mailbox->add_addresses(address);
  mailbox->set_receive(receive);
  mailbox->set_keep_copy(keep_copy);
  mailbox->set_credential_version(1);
  for (const std::string& target : forwards) mailbox->add_forward_targets(target);
  return record;
}

std::vector<std::string> MessagesIn(const std::string& root, const std::string& mailbox_id) {
  std::vector<std::string> messages;
  const auto path = maildir::MailboxPath(root, mailbox_id);
  if (!path.ok() || !std::filesystem::exists(*path + "/new")) return messages;
  for (const auto& entry : std::filesystem::directory_iterator(*path + "/new")) {
    std::ostringstream content;
    content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    messages.push_back(content.str());
  }
  return messages;
}

size_t CountFiles(const std::string& directory) {
  std::error_code error;
  size_t count = 0;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error))
    ++count;
  return count;
}

bool Eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace prov::smtp
