#include "agents/drivers/nss_cache_render.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/status.h"

namespace prov::drivers {
namespace {

constexpr size_t kPieceOctets = size_t{1} << 20;
constexpr std::string_view kNoPassword = ":*:";
constexpr std::string_view kNoMembers = ":\n";
constexpr uint32_t kMostDigits = 10;  // of a uid

uint32_t DigitsOf(uint64_t number) { return static_cast<uint32_t>(fmt::format_int(number).size()); }

// Sorts as the decimal text does: "1" before "10" before "2".
uint64_t TextOrder(uint32_t number) {
  const uint32_t digits = DigitsOf(number);
  uint64_t key = number;
  for (uint32_t i = digits; i < kMostDigits; ++i) key *= 10;
  return key * (kMostDigits + 1) + digits;
}

// Gathers small pieces into larger ones.
class Pieces {
 public:
  explicit Pieces(const NssCacheRendering::Sink& sink) : sink_(sink) { piece_.reserve(2 * kPieceOctets); }

  Pieces& Put(std::string_view text) {
    piece_.append(text);
    return *this;
  }
  Pieces& Put(uint64_t number) {
    const fmt::format_int digits(number);
    piece_.append(digits.data(), digits.size());
    return *this;
  }
  Pieces& PadTo(size_t begin, size_t width) {
    piece_.resize(begin + width, '\0');
    return *this;
  }
  size_t size() const { return piece_.size(); }

  absl::Status HandOnWhenFull() { return piece_.size() < kPieceOctets ? absl::OkStatus() : HandOn(); }
  absl::Status HandOn() {
    const absl::Status status = sink_(piece_);
    piece_.clear();
    return status;
  }

 private:
  const NssCacheRendering::Sink& sink_;
  std::string piece_;
};

size_t GroupLineOctets(const PasswdLine& line) {
  return line.login_octets + kNoPassword.size() + DigitsOf(line.uid) + kNoMembers.size();
}

}  // namespace

NssCacheRendering::NssCacheRendering(const std::vector<PasswdLine>& lines) : lines_(lines) {
  by_number_.reserve(lines.size());
  for (const PasswdLine& line : lines) {
    by_number_.push_back({TextOrder(line.uid), static_cast<uint32_t>(by_number_.size())});
    longest_login_ = std::max<size_t>(longest_login_, line.login_octets);
    longest_number_ = std::max<size_t>(longest_number_, DigitsOf(line.uid));
  }
  std::sort(by_number_.begin(), by_number_.end(),
            [](const Numbered& a, const Numbered& b) { return a.sort_key < b.sort_key; });
}

std::vector<uint64_t> NssCacheRendering::OffsetsOf(CacheMap map) const {
  std::vector<uint64_t> offsets;
  offsets.reserve(lines_.size());
  uint64_t offset = 0;
  for (const PasswdLine& line : lines_) {
    offsets.push_back(offset);
    offset += map == CacheMap::kPasswd ? line.text.size() : GroupLineOctets(line);
  }
  return offsets;
}

absl::Status NssCacheRendering::Render(CacheMap map, CachePart part, const Sink& sink) const {
  Pieces pieces(sink);
  if (part == CachePart::kMain) {
    for (const PasswdLine& line : lines_) {
      if (map == CacheMap::kPasswd) {
        pieces.Put(line.text);
      } else {
        pieces.Put(line.login()).Put(kNoPassword).Put(line.uid).Put(kNoMembers);
      }
      PROV_RETURN_IF_ERROR(pieces.HandOnWhenFull());
    }
    return pieces.HandOn();
  }
  const std::vector<uint64_t> offsets = OffsetsOf(map);
  const bool by_name = part == CachePart::kByName;
  const size_t longest_offset = offsets.empty() ? 0 : DigitsOf(offsets.back());
  // A NUL after each.
  const size_t width = (by_name ? longest_login_ : longest_number_) + longest_offset + 2;
  for (size_t i = 0; i < lines_.size(); ++i) {
    const size_t number = by_name ? i : by_number_[i].line;
    const size_t begin = pieces.size();
    by_name ? pieces.Put(lines_[number].login()) : pieces.Put(lines_[number].uid);
    pieces.Put(std::string_view("\0", 1)).Put(offsets[number]).PadTo(begin, width).Put("\n");
    PROV_RETURN_IF_ERROR(pieces.HandOnWhenFull());
  }
  return pieces.HandOn();
}

}  // namespace prov::drivers
