#include "common/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace prov {
namespace {

TEST(Status, FieldAndReasonSurviveAnnotation) {
  const absl::Status status = Annotate(
      FieldError(absl::StatusCode::kAlreadyExists, "subscriber.login", "LOGIN_TAKEN", "is taken"), "create");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message(), "create: subscriber.login: is taken");
  ASSERT_EQ(ViolationsOf(status).size(), 1u);
  EXPECT_EQ(ViolationsOf(status)[0].field, "subscriber.login");
  EXPECT_EQ(ReasonOf(status), "LOGIN_TAKEN");
}

TEST(Status, FullDiskIsToldApartAndMayBeRetried) {
  const absl::Status status = ErrnoStatus(ENOSPC, "write /x");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(IsRetryable(status));
  EXPECT_FALSE(IsRetryable(InvalidField("a", "b")));
}

}  // namespace
}  // namespace prov
