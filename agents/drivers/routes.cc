#include "agents/drivers/routes.h"

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/status.h"

namespace prov::drivers {
namespace {

using google::protobuf::util::MessageDifferencer;

// What is found for `name` against what is wanted.
template <typename Message>
absl::StatusOr<std::string> DifferenceOf(std::string_view name, const absl::StatusOr<Message>& found,
                                         const Message& wanted) {
  if (absl::IsNotFound(found.status())) return fmt::format("{} leads nowhere", name);
  PROV_RETURN_IF_ERROR(found.status());
  return MessageDifferencer::Equals(*found, wanted) ? "" : fmt::format("{} leads elsewhere", name);
}

class RouteDriver final : public Driver {
 public:
  explicit RouteDriver(state::StateReader& reader) : reader_(reader) {}

  std::string_view name() const override { return "routes"; }

  absl::Status Apply(const state::PendingItem& item) override { return absl::OkStatus(); }

  absl::StatusOr<std::string> Inspect(const v1::Record& record) override {
    if (record.has_mail_route()) {
      const v1::MailRoute& route = record.mail_route();
      for (const std::string& address : route.addresses()) {
        PROV_ASSIGN_OR_RETURN(std::string text, DifferenceOf(address, reader_.FindMailRoute(address), route));
        if (!text.empty()) return text;
      }
    }
    if (record.has_login_route()) {
      const v1::LoginRoute& route = record.login_route();
      return DifferenceOf(route.login(), reader_.FindLoginRoute(route.login()), route);
    }
    if (record.has_mailbox()) {
      const v1::Mailbox& mailbox = record.mailbox();
      for (const std::string& address : mailbox.addresses()) {
        PROV_ASSIGN_OR_RETURN(std::string text,
                              DifferenceOf(address, reader_.FindMailboxByAddress(address), mailbox));
        if (!text.empty()) return text;
      }
      return DifferenceOf(mailbox.login(), reader_.FindMailboxByLogin(mailbox.login()), mailbox);
    }
    return "";
  }

 private:
  state::StateReader& reader_;
};

}  // namespace

std::unique_ptr<Driver> MakeRouteDriver(state::StateReader& reader) {
  return std::make_unique<RouteDriver>(reader);
}

}  // namespace prov::drivers
