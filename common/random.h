// Unguessable bytes from the kernel.
#pragma once

#include <cstddef>
#include <string>

namespace prov {

// `octets` random octets as lower-case hexadecimal, twice as long. From getrandom(2); thread-safe.
std::string RandomHex(size_t octets);

// `octets` raw random octets.
std::string RandomOctets(size_t octets);

}  // namespace prov
