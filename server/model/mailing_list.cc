#include "server/model/mailing_list.h"

namespace prov::model {

std::string_view PostingName(Posting posting) {
  switch (posting) {
    case Posting::kMembers:
      return "members";
    case Posting::kOwners:
      return "owners";
    case Posting::kAnyone:
      return "anyone";
  }
  return "members";
}

std::string MemberKey(std::string_view list, std::string_view address) {
  std::string key(list);
  key += "/members/";
  key += address;
  return key;
}

}  // namespace prov::model
