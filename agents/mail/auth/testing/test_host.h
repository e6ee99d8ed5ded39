// A store host's state and PAM set-up in a directory of its own, for tests of logins and of what needs them.
// Real LMDB, real PAM, real worker processes; the passwords come from a file.
#pragma once

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agents/config.h"
#include "agents/state/reader.h"
#include "agents/state/writer.h"
#include "prov/v1/agent_sync.pb.h"

namespace prov::auth {

class TestHost {
 public:
  // In a directory of its own, or in one that outlives it, such as that of a host that was killed.
  explicit TestHost(const std::string& kept = "") : path_(kept), is_kept_(!kept.empty()) {
    std::string pattern = "/tmp/prov-auth-XXXXXX";
    if (!is_kept_) path_ = mkdtemp(pattern.data());
    for (const char* part : {"/state", "/pam.d", "/mail"}) std::filesystem::create_directory(path_ + part);
    const std::string module = std::filesystem::absolute("agents/mail/auth/testing/pam_login_file.so");
    for (const char* service : {"prov-pop3", "prov-smtp"}) {
      std::ofstream(path_ + "/pam.d/" + service) << "auth required " << module << " file=" << PasswordFile()
                                                 << "\naccount required " << module << "\n";
    }
    writer_ = *state::StateWriter::Open(path_ + "/state");
    reader_ = *state::StateReader::Open(path_ + "/state");
  }
  TestHost(const TestHost&) = delete;
  TestHost& operator=(const TestHost&) = delete;
  ~TestHost() {
    if (!is_kept_) std::filesystem::remove_all(path_);
  }

  const std::string& path() const { return path_; }
  std::string MaildirRoot() const { return path_ + "/mail"; }
  state::StateReader& state() { return *reader_; }

  AgentConfig::Engine::Pam Pam(uint32_t workers = 1, int timeout_ms = 5000) const {
    AgentConfig::Engine::Pam pam;
    pam.worker_program = std::filesystem::absolute("agents/mail/auth/prov-pam-worker");
    pam.config_directory = path_ + "/pam.d";
    pam.workers = workers;
    pam.timeout = std::chrono::milliseconds(timeout_ms);
    return pam;
  }

  // What provd tells the agent. The mailbox id is the login's local part.
  void SetMailbox(const std::string& login, uint64_t version, v1::Disposition login_disposition = v1::ALLOW,
                  const std::string& plan = "") {
    v1::Record record;
    record.set_key(KeyOf(login));
    record.set_revision(++revision_);
    v1::Mailbox* mailbox = record.mutable_mailbox();
    mailbox->set_mailbox_id(login.substr(0, login.find('@')));
    mailbox->set_login(login);
    mailbox->add_addresses(login);
    mailbox->set_receive(v1::ALLOW);
    mailbox->set_login_disposition(login_disposition);
    mailbox->set_credential_version(version);
    mailbox->set_plan(plan);
    Apply(v1::STORE, record);
  }

  void SetRoute(const std::string& login, const std::string& pool) {
    v1::Record record;
    record.set_key(KeyOf(login));
    record.set_revision(++revision_);
    record.mutable_login_route()->set_login(login);
    record.mutable_login_route()->set_pool(pool);
    record.mutable_login_route()->set_login_disposition(v1::ALLOW);
    Apply(v1::POP_PROXY, record);
  }

  void SetPool(const std::string& pool, const std::vector<std::string>& endpoints) {
    v1::Record record;
    record.set_key("pools/" + pool);
    record.set_revision(++revision_);
    record.mutable_pool()->set_pool(pool);
    record.mutable_pool()->set_role(v1::STORE);
    for (const std::string& endpoint : endpoints) {
      v1::PoolMembers::Member* member = record.mutable_pool()->add_members();
      member->set_host("store" + std::to_string(record.pool().members_size()));
      member->set_weight(1);
      for (const char* service : {"pop3", "pop3s"}) (*member->mutable_endpoints())[service] = endpoint;
    }
    Apply(v1::POP_PROXY, record);
  }

  // What the directory knows: lines of `login:password:version`; the version may be empty.
  void SetPasswords(const std::vector<std::string>& lines) {
    const std::string fresh = PasswordFile() + ".new";
    std::ofstream file(fresh);
    for (const std::string& line : lines) file << line << "\n";
    file.close();
    std::filesystem::rename(fresh, PasswordFile());
  }
  void TakeDirectoryDown() { std::filesystem::remove(PasswordFile()); }
  // The next login waits in PAM until somebody has written to what WaitForPam returns, and closed it.
  void PipePasswords() {
    TakeDirectoryDown();
    if (mkfifo(PasswordFile().c_str(), 0600) != 0) abort();
  }
  // Returns once PAM reads.
  std::ofstream WaitForPam() const { return std::ofstream(PasswordFile()); }

 private:
  std::string PasswordFile() const { return path_ + "/passwords"; }

  // The state refuses keys that are none.
  std::string KeyOf(const std::string& login) {
    return "subscribers/" + std::to_string(1 + ids_.emplace(login, ids_.size()).first->second);
  }

  void Apply(v1::Role role, const v1::Record& record) {
    v1::Batch batch;
    batch.set_to_revision(revision_);
    *batch.add_records() = record;
    if (!writer_->ApplyBatch(role, batch).ok()) abort();
    if (!writer_->ConfirmHead(role, revision_, std::chrono::system_clock::now()).ok()) abort();
  }

  std::string path_;
  const bool is_kept_;
  std::unique_ptr<state::StateWriter> writer_;
  std::unique_ptr<state::StateReader> reader_;
  uint64_t revision_ = 0;
  std::map<std::string, size_t> ids_;
};

}  // namespace prov::auth
