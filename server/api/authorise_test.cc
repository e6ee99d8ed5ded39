#include "server/api/authorise.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>

#include "prov/v1/agent_sync.pb.h"
#include "prov/v1/approvals.pb.h"
#include "prov/v1/audit.pb.h"
#include "prov/v1/directory.pb.h"
#include "prov/v1/domains.pb.h"
#include "prov/v1/enrolment.pb.h"
#include "prov/v1/fleet.pb.h"
#include "prov/v1/lists.pb.h"
#include "prov/v1/mail_queues.pb.h"
#include "prov/v1/mailbox_moves.pb.h"
#include "prov/v1/operations.pb.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::api {
namespace {

// A file of each of provd's services; linking its messages puts its descriptor into the pool.
std::vector<const google::protobuf::FileDescriptor*> Files() {
  return {v1::Hello::descriptor()->file(),         v1::Approval::descriptor()->file(),
          v1::AuditRecord::descriptor()->file(),   v1::DirectoryProgress::descriptor()->file(),
          v1::Domain::descriptor()->file(),        v1::EnrolmentToken::descriptor()->file(),
          v1::Pool::descriptor()->file(),          v1::MailingList::descriptor()->file(),
          v1::QueuedMessage::descriptor()->file(), v1::Status::descriptor()->file(),
          v1::Subscriber::descriptor()->file(),    v1::ReportMailboxMoveRequest::descriptor()->file()};
}

TEST(Authorise, TableNamesEveryMethodOnceAndNoOther) {
  std::set<std::string> listed;
  for (const MethodRule& rule : MethodTable()) {
    EXPECT_TRUE(listed.insert(std::string(rule.method)).second) << rule.method << " is there twice";
    EXPECT_NE(rule.roles, 0u) << rule.method << " may be called by nobody";
  }
  std::set<std::string> existing;
  for (const auto* file : Files()) {
    ASSERT_EQ(file->service_count(), 1) << file->name();
    const auto* service = file->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      existing.insert("/" + service->full_name() + "/" + service->method(i)->name());
    }
  }
  EXPECT_EQ(listed, existing);
}

TEST(Authorise, AgentsAndUnknownRolesMayAlmostNothing) {
  const std::vector<std::string> agent = MethodsOf("agent");
  for (const std::string& method : agent) {
    EXPECT_TRUE(method.starts_with("/prov.v1.AgentSync/") || method.starts_with("/prov.v1.Enrolment/") ||
                method == "/prov.v1.Operations/WhoAmI" || method == "/prov.v1.Approvals/GetHostApproval" ||
                method == "/prov.v1.MailboxMoves/ReportMailboxMove")
        << method;
  }
  EXPECT_TRUE(MethodsOf("janitor").empty());
  EXPECT_TRUE(MethodsOf("").empty());
}

TEST(Authorise, AuditorOnlyReads) {
  for (const std::string& method : MethodsOf("auditor")) {
    const std::string name = method.substr(method.rfind('/') + 1);
    const bool reads = name.starts_with("Get") || name.starts_with("List") || name.starts_with("Watch") ||
                       name.starts_with("Wait") || name.starts_with("Verify") || name == "WhoAmI" ||
                       name == "Explain" || name == "RenewCertificate";
    EXPECT_TRUE(reads) << method;
  }
}

}  // namespace
}  // namespace prov::api
