#include "common/ldap/result.h"

#include <gtest/gtest.h>
#include <ldap.h>

namespace prov::ldap {
namespace {

TEST(Result, FullDiskIsToldInWordsAndIsNoFaultOfTheRecord) {
  const absl::Status status = ResultStatus(LDAP_OTHER, "write", "txn_commit failed");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      status.message(),
      "write: the server cannot store it; is its disk full, or olcDbMaxSize reached? (txn_commit failed)");
}

TEST(Result, OtherErrorsMayBeAboutTheRecord) {
  EXPECT_EQ(ResultStatus(LDAP_OTHER, "write", "").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ResultStatus(LDAP_OTHER, "write", "DN index add failed").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ResultStatus(LDAP_INVALID_SYNTAX, "write", "txn_commit failed").code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace prov::ldap
