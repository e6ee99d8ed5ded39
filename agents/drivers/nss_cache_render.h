// What the six files of nss_cache.h hold, octet by octet, in pieces. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "agents/drivers/passwd_lines.h"

namespace prov::drivers {

enum class CacheMap { kPasswd, kGroup };
enum class CachePart { kMain, kByName, kByNumber };

class NssCacheRendering {
 public:
  // `lines`, in order, no login and no uid twice, must live as long.
  explicit NssCacheRendering(const std::vector<PasswdLine>& lines);

  using Sink = std::function<absl::Status(std::string_view)>;
  // Hands the file to `sink` in pieces of some size; ends with the sink's first error. Thread-safe.
  absl::Status Render(CacheMap map, CachePart part, const Sink& sink) const;

 private:
  struct Numbered {
    uint64_t sort_key = 0;
    uint32_t line = 0;
  };
  std::vector<uint64_t> OffsetsOf(CacheMap map) const;
  const std::vector<PasswdLine>& lines_;
  std::vector<Numbered> by_number_;
  size_t longest_login_ = 0, longest_number_ = 0;
};

}  // namespace prov::drivers
