// What slapd hands over: its own lines, and within them what its client sent.
#include <algorithm>

#include "server/directory/password_request.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto request = prov::directory::ParsePasswordRequest(text, "o=prov");
  if (request.ok()) {
    FUZZ_CHECK(!request->login.empty());
    for (const std::string* password : {&request->old_password, &request->new_password})
      FUZZ_CHECK(!password->empty() && password->find('\0') == std::string::npos);
  }
  // One line, whatever the words.
  const std::string reply = prov::directory::PasswordReply(absl::InvalidArgumentError(std::string(text)));
  FUZZ_CHECK(reply.starts_with("RESULT\ncode: 19\n") && reply.ends_with("\n"));
  FUZZ_CHECK(std::count(reply.begin(), reply.end(), '\n') == (text.empty() ? 2 : 3));
  return 0;
}
