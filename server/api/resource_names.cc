#include "server/api/resource_names.h"

#include <fmt/format.h>

#include <charconv>

#include "common/mail_address.h"
#include "common/status.h"
#include "server/model/mailing_list.h"
#include "server/model/validate.h"

namespace prov::api {
namespace {

absl::StatusOr<std::string_view> AfterCollection(std::string_view field, std::string_view name,
                                                 std::string_view collection) {
  if (name.size() > collection.size() + 1 && name.starts_with(collection) && name[collection.size()] == '/') {
    return name.substr(collection.size() + 1);
  }
  return InvalidField(field, fmt::format("{} is not of the form {}/…", model::Echo(name), collection));
}

absl::StatusOr<int64_t> NumberAfterCollection(std::string_view field, std::string_view name,
                                              std::string_view collection) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, collection));
  int64_t id = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error == std::errc() && end == key.data() + key.size() && id > 0) return id;
  return InvalidField(field, fmt::format("{} is not of the form {}/NUMBER", model::Echo(name), collection));
}

}  // namespace

absl::StatusOr<std::string> SubscriberKeyOf(std::string_view field, std::string_view name) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, "subscribers"));
  constexpr size_t kMaxIdDigits = 18;
  if (key.size() <= kMaxIdDigits && key.find_first_not_of("0123456789") == std::string_view::npos) {
    return std::string(key);
  }
  PROV_ASSIGN_OR_RETURN(const MailAddress login, model::CheckAddress(field, key));
  return login.ToString();
}

absl::StatusOr<std::string> DomainKeyOf(std::string_view field, std::string_view name) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, "domains"));
  return model::CheckDomain(field, key);
}

absl::StatusOr<std::string> PoolKeyOf(std::string_view field, std::string_view name) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, "pools"));
  PROV_RETURN_IF_ERROR(model::CheckPoolId(field, key));
  return std::string(key);
}

absl::StatusOr<std::string> MailingListKeyOf(std::string_view field, std::string_view name) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, "lists"));
  PROV_ASSIGN_OR_RETURN(const MailAddress address, model::CheckAddress(field, key));
  std::string text = address.ToString();
  if (text.size() <= model::kMaxListAddressOctets) return text;
  return InvalidField(field, fmt::format("{} is longer than the {} octets that a list's address may have",
                                         model::Echo(text), model::kMaxListAddressOctets));
}

absl::StatusOr<MemberName> MemberNameOf(std::string_view field, std::string_view name) {
  constexpr std::string_view kMembers = "/members/";
  const size_t split = name.find(kMembers);
  if (split == std::string_view::npos) {
    return InvalidField(field, fmt::format("{} is not of the form lists/…/members/…", model::Echo(name)));
  }
  MemberName member;
  PROV_ASSIGN_OR_RETURN(member.list, MailingListKeyOf(field, name.substr(0, split)));
  PROV_ASSIGN_OR_RETURN(const MailAddress address,
                        model::CheckAddress(field, name.substr(split + kMembers.size())));
  member.address = address.ToString();
  return member;
}

absl::StatusOr<std::string> HostKeyOf(std::string_view field, std::string_view name) {
  PROV_ASSIGN_OR_RETURN(const std::string_view key, AfterCollection(field, name, "hosts"));
  PROV_RETURN_IF_ERROR(model::CheckHostId(field, key));
  return std::string(key);
}

absl::StatusOr<int64_t> ScheduledChangeIdOf(std::string_view field, std::string_view name) {
  return NumberAfterCollection(field, name, "scheduledChanges");
}

absl::StatusOr<int64_t> MailboxMoveIdOf(std::string_view field, std::string_view name) {
  return NumberAfterCollection(field, name, "moves");
}

}  // namespace prov::api
