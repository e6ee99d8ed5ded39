#include "common/size.h"

#include <charconv>
#include <system_error>

namespace prov {

std::optional<int64_t> ParseSize(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr std::string_view kUnits = "kMGT";
  int shift = 0;
  if (unit.size() == 1 && kUnits.find(unit[0] == 'K' ? 'k' : unit[0]) != std::string_view::npos) {
    shift = 10 * (1 + static_cast<int>(kUnits.find(unit[0] == 'K' ? 'k' : unit[0])));
  } else if (!unit.empty()) {
    return std::nullopt;
  }
  if (number > (static_cast<uint64_t>(kLargestSize) >> shift)) return std::nullopt;
  return static_cast<int64_t>(number << shift);
}

}  // namespace prov
