// File names in a Maildir, which anybody may have given.
#include "agents/mail/maildir/file_name.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view name(reinterpret_cast<const char*>(data), size);
  const std::string uidl = prov::maildir::UidlOf(name);
  FUZZ_CHECK(!uidl.empty() && uidl.size() <= prov::maildir::kMaxUidlOctets);
  for (const char c : uidl) FUZZ_CHECK(c > ' ' && c <= '~');
  // Flags do not change who it is.
  const std::string flagged = std::string(prov::maildir::BaseOf(name)) + ":2,S";
  FUZZ_CHECK(prov::maildir::UidlOf(flagged) == prov::maildir::UidlOf(prov::maildir::BaseOf(name)));
  prov::maildir::WireOctetsOf(name);
  prov::maildir::ArrivalOf(name);
  return 0;
}
