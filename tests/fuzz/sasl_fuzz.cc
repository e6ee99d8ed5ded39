// AUTH: what the client says in base64.
#include "agents/mail/auth/sasl.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using Step = prov::auth::SaslExchange::Step;
  for (const char* mechanism : {"PLAIN", "LOGIN"}) {
    auto exchange = prov::auth::SaslExchange::Begin(mechanism);
    std::string_view left(reinterpret_cast<const char*>(data), size);
    Step step = exchange->Start(std::nullopt);
    while (step == Step::kChallenge && !left.empty()) {
      const std::string_view line = left.substr(0, left.find('\n'));
      left.remove_prefix(std::min(left.size(), line.size() + 1));
      step = exchange->Respond(line);
    }
    if (step != Step::kDone) continue;
    const std::string_view bad("\r\n\0", 3);
    FUZZ_CHECK(!exchange->login().empty() && exchange->login().find_first_of(bad) == std::string::npos);
    const prov::auth::Secret password = exchange->TakePassword();
    FUZZ_CHECK(!password.Reveal().empty() && password.Reveal().find_first_of(bad) == std::string_view::npos);
  }
  return 0;
}
