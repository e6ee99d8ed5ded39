// Records as provd would send them, for tests.
#pragma once

#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "prov/v1/agent_sync.pb.h"

namespace prov::state {

// A directory of its own below /tmp, gone with its owner.
class TestDirectory {
 public:
  TestDirectory() {
    std::string pattern = "/tmp/prov-state-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  TestDirectory(const TestDirectory&) = delete;
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline v1::Record MailboxRecord(int id, uint64_t revision, const std::vector<std::string>& aliases = {}) {
  v1::Record record;
  record.set_key(fmt::format("subscribers/{}", id));
  record.set_revision(revision);
  v1::Mailbox* mailbox = record.mutable_mailbox();
  mailbox->set_mailbox_id(fmt::format("box-{}", id));
  mailbox->set_login(fmt::format("user{}@example.net", id));
  mailbox->add_addresses(mailbox->login());
  for (const std::string& alias : aliases) mailbox->add_addresses(alias);
  mailbox->set_credential_version(revision);
  return record;
}

inline v1::Record RouteRecord(int id, uint64_t revision, const std::string& pool = "main") {
  v1::Record record;
  record.set_key(fmt::format("subscribers/{}", id));
  record.set_revision(revision);
  record.mutable_mail_route()->add_addresses(fmt::format("user{}@example.net", id));
  record.mutable_mail_route()->set_pool(pool);
  record.mutable_mail_route()->set_receive(v1::ALLOW);
  record.mutable_mail_route()->set_login(record.mail_route().addresses(0));
  record.mutable_mail_route()->set_submit(v1::ALLOW);
  record.mutable_mail_route()->set_credential_version(revision);
  return record;
}

inline v1::Record AccountRecord(int id, uint64_t revision, uint32_t uid) {
  v1::Record record;
  record.set_key(fmt::format("subscribers/{}", id));
  record.set_revision(revision);
  v1::Account* account = record.mutable_account();
  account->set_login(fmt::format("user{}@example.net", id));
  account->set_uid_number(uid);
  account->set_display_name(fmt::format("User {}", id));
  account->set_home_id(fmt::format("home-{}", id));
  account->set_use(v1::ALLOW);
  return record;
}

inline v1::Batch BatchOf(uint64_t to_revision, const std::vector<v1::Record>& records,
                         const std::vector<std::string>& removed = {}) {
  v1::Batch batch;
  batch.set_to_revision(to_revision);
  for (const v1::Record& record : records) *batch.add_records() = record;
  for (const std::string& key : removed) batch.add_removed_keys(key);
  return batch;
}

}  // namespace prov::state
