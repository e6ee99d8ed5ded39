// Addresses of MAIL and RCPT.
#include "agents/mail/smtp/path.h"
#include "common/utf8.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  std::string_view input = all;
  const auto path = prov::smtp::ParsePath(input);
  if (!path.ok()) return 0;
  FUZZ_CHECK(all.substr(all.size() - input.size()) == input && input.size() < all.size());
  for (const char c : path->text) FUZZ_CHECK((c & 0x80) != 0 || (c >= ' ' && c != 0x7f));
  FUZZ_CHECK(prov::IsValidUtf8(path->text));
  for (const char c : path->domain) FUZZ_CHECK(c > ' ' && c <= '~');
  if (path->form != prov::smtp::Path::Form::kMailbox) return 0;
  // What is passed on is read by the next host as it was here.
  const std::string again = "<" + path->text + ">";
  std::string_view second = again;
  const auto read = prov::smtp::ParsePath(second);
  FUZZ_CHECK(read.ok() && second.empty());
  FUZZ_CHECK(read->local_part == path->local_part && read->domain == path->domain);
  return 0;
}
