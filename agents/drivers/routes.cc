#include "agents/drivers/routes.h"

#include <google/protobuf/util/message_differencer.h>

#include "common/status.h"

namespace prov::drivers {
namespace {

using google::protobuf::util::MessageDifferencer;

// NOT_FOUND is drift, other errors are errors.
template <typename Message>
absl::StatusOr<bool> Leads(const absl::StatusOr<Message>& found, const Message& wanted) {
  if (absl::IsNotFound(found.status())) return false;
  PROV_RETURN_IF_ERROR(found.status());
  return MessageDifferencer::Equals(*found, wanted);
}

class RouteDriver final : public Driver {
 public:
  explicit RouteDriver(state::StateReader& reader) : reader_(reader) {}

  std::string_view name() const override { return "routes"; }

  absl::Status Apply(const state::PendingItem& item) override { return absl::OkStatus(); }

  absl::StatusOr<bool> Inspect(const v1::Record& record) override {
    if (record.has_mail_route()) {
      const v1::MailRoute& route = record.mail_route();
      for (const std::string& address : route.addresses()) {
        PROV_ASSIGN_OR_RETURN(const bool right, Leads(reader_.FindMailRoute(address), route));
        if (!right) return false;
      }
    }
    if (record.has_login_route()) {
      const v1::LoginRoute& route = record.login_route();
      return Leads(reader_.FindLoginRoute(route.login()), route);
    }
    if (record.has_mailbox()) {
      const v1::Mailbox& mailbox = record.mailbox();
      for (const std::string& address : mailbox.addresses()) {
        PROV_ASSIGN_OR_RETURN(const bool right, Leads(reader_.FindMailboxByAddress(address), mailbox));
        if (!right) return false;
      }
      return Leads(reader_.FindMailboxByLogin(mailbox.login()), mailbox);
    }
    return true;
  }

 private:
  state::StateReader& reader_;
};

}  // namespace

std::unique_ptr<Driver> MakeRouteDriver(state::StateReader& reader) {
  return std::make_unique<RouteDriver>(reader);
}

}  // namespace prov::drivers
