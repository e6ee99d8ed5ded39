// Mailing lists and their members.
//
// A member is an aggregate of its own: adding one to a list of a hundred thousand costs what it costs in an
// empty one (I9).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/mailing_list.h"
#include "server/store/connection_pool.h"
#include "server/store/write_queue.h"

namespace prov::store {

// Which lists; what is empty does not restrict.
struct MailingListQuery {
  std::string domain;
  std::string address_prefix;
  std::string after;
  size_t limit = 100;
};

// Thread-safe.
class MailingListRepository {
 public:
  explicit MailingListRepository(ConnectionPool& pool) : pool_(pool) {}

  // NOT_FOUND on field `name`.
  absl::StatusOr<model::MailingList> Get(const std::string& address);
  // By address.
  absl::StatusOr<std::vector<model::MailingList>> List(const MailingListQuery& query);
  // By address, those after `after`. NOT_FOUND on `parent`.
  absl::StatusOr<std::vector<model::Member>> ListMembers(const std::string& list, const std::string& after,
                                                         size_t limit);

  // Within a write.
  static absl::StatusOr<model::MailingList> Find(WriteTransaction& write, const std::string& address);
  // `wanted` if there is such a pool of role list, or, when it is "", one chosen by weight; "" if there is
  // none.
  static absl::StatusOr<std::string> ChoosePool(WriteTransaction& write, const std::string& wanted);
  // Takes the address. ALREADY_EXISTS on mailing_list.name when it has an owner, is reserved, or a list of
  // that name is still being removed.
  static absl::StatusOr<model::MailingList> Insert(WriteTransaction& write, const model::MailingList& list,
                                                   const std::string& domain);
  // Writes display_name, owners, posting.
  static absl::StatusOr<model::MailingList> Save(WriteTransaction& write, const model::MailingList& list);
  // The list is gone at once; its members, from the first step on, are removed by RemoveSomeMembers.
  static absl::Status Remove(WriteTransaction& write, const std::string& address);

  // NOT_FOUND on `parent`; ALREADY_EXISTS on `address`; RESOURCE_EXHAUSTED when the list is full.
  static absl::StatusOr<model::Member> AddMember(WriteTransaction& write, const std::string& list,
                                                 const std::string& address);
  // NOT_FOUND on `name`.
  static absl::Status RemoveMember(WriteTransaction& write, const std::string& list,
                                   const std::string& address);

  // Removes at most `limit` members of a list that is gone, and with the last one gives its address free.
  // Returns the list; "": none is waiting for that.
  static absl::StatusOr<std::string> RemoveSomeMembers(WriteTransaction& write, size_t limit);
  // Whether RemoveSomeMembers has work.
  absl::StatusOr<bool> HasMembersToRemove();

 private:
  static absl::Status RemoveMembersOf(WriteTransaction& write, const std::string& list, size_t limit);

  ConnectionPool& pool_;
};

}  // namespace prov::store
