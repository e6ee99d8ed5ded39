// A password in memory: wiped when it goes, moved but never copied, and never printed.
#pragma once

#include <string.h>

#include <string>
#include <string_view>
#include <utility>

namespace prov::auth {

inline void Wipe(std::string& text) {
  // Up to the capacity: a shrunk string leaves its tail behind.
  text.resize(text.capacity());
  explicit_bzero(text.data(), text.size());
  text.clear();
}

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text) : text_(text) {}
  Secret(Secret&& other) noexcept { *this = std::move(other); }
  Secret& operator=(Secret&& other) noexcept {
    if (this == &other) return *this;
    Wipe(text_);
    // A short string lives inside the object, and a move leaves its octets there.
    text_ = other.text_;
    Wipe(other.text_);
    return *this;
  }
  ~Secret() { Wipe(text_); }

  std::string_view Reveal() const { return text_; }

 private:
  std::string text_;
};

}  // namespace prov::auth
