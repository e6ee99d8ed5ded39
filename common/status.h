// Errors as values: absl::Status with the field, the cause and the mend in google.rpc details.
//
// A status that crosses a room's boundary says what was tried, with which value, and how to mend it.
// Never put a secret into one: messages reach callers and logs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prov {

// One wrong field of a request.
struct FieldViolation {
  std::string field;        // path in the request: "subscriber.login"
  std::string description;  // what is wrong with the value, and the mend
};

// INVALID_ARGUMENT with one google.rpc.BadRequest violation.
absl::Status InvalidField(std::string_view field, std::string_view description);

// INVALID_ARGUMENT with all of them. `violations` must not be empty.
absl::Status InvalidFields(const std::vector<FieldViolation>& violations);

// Any code, naming the field at fault, with a stable UPPER_SNAKE_CASE reason (google.rpc.ErrorInfo):
// FieldError(absl::StatusCode::kAlreadyExists, "subscriber.login", "LOGIN_TAKEN", "…").
absl::Status FieldError(absl::StatusCode code, std::string_view field, std::string_view reason,
                        std::string_view description);

// The message as a standard view (Debian's absl has a string_view of its own). Valid as long as `status`.
std::string_view MessageOf(const absl::Status& status);

// The violations a status carries; empty if none.
std::vector<FieldViolation> ViolationsOf(const absl::Status& status);

// The ErrorInfo reason a status carries; empty if none.
std::string ReasonOf(const absl::Status& status);

// The same status with "context: " before its message; details are kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// A status for errno `error`, "context: strerror". ENOENT is NOT_FOUND; ENOSPC and EDQUOT are
// RESOURCE_EXHAUSTED; EACCES, EPERM and EROFS are PERMISSION_DENIED; the rest UNAVAILABLE, for retry may
// help.
absl::Status ErrnoStatus(int error, std::string_view context);

// Whether the same call may succeed later without anybody's doing.
bool IsRetryable(const absl::Status& status);

// Returns early with the error of an expression that yields absl::Status.
#define PROV_RETURN_IF_ERROR(expr)                                                   \
  do {                                                                               \
    if (absl::Status prov_status_ = (expr); !prov_status_.ok()) return prov_status_; \
  } while (false)

#define PROV_CONCAT_INNER_(a, b) a##b
#define PROV_CONCAT_(a, b) PROV_CONCAT_INNER_(a, b)

// Declares `lhs` from an absl::StatusOr expression, or returns early with its error.
#define PROV_ASSIGN_OR_RETURN(lhs, expr) \
  PROV_ASSIGN_OR_RETURN_(PROV_CONCAT_(prov_statusor_, __LINE__), lhs, expr)
#define PROV_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = std::move(tmp).value()

}  // namespace prov
