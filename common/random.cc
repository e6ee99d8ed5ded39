#include "common/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/escaping.h"

namespace prov {

std::string RandomOctets(size_t octets) {
  std::string result(octets, '\0');
  size_t filled = 0;
  while (filled < octets) {
    const ssize_t got = getrandom(result.data() + filled, octets - filled, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      std::abort();  // getrandom cannot fail otherwise on any kernel we support; going on would be unsafe
    }
    filled += static_cast<size_t>(got);
  }
  return result;
}

std::string RandomHex(size_t octets) { return absl::BytesToHexString(RandomOctets(octets)); }

}  // namespace prov
