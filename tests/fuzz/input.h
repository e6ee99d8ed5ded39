// A fuzzer's input cut up as a network would cut it: the first octet says how.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace prov::fuzz {

class Pieces {
 public:
  Pieces(const uint8_t* data, size_t size)
      : left_(reinterpret_cast<const char*>(data), size), step_(size == 0 ? 1 : data[0]) {
    if (!left_.empty()) left_.remove_prefix(1);
    if (step_ == 0) step_ = left_.size() + 1;
  }

  // Empty at the end.
  std::string_view Next() {
    const std::string_view piece = left_.substr(0, std::min(step_, left_.size()));
    left_.remove_prefix(piece.size());
    return piece;
  }
  std::string_view all() const { return left_; }

 private:
  std::string_view left_;
  size_t step_;
};

// What must hold, whatever the input; the fuzzer keeps the input for which it does not.
#define FUZZ_CHECK(condition)           \
  do {                                  \
    if (!(condition)) __builtin_trap(); \
  } while (false)

}  // namespace prov::fuzz
