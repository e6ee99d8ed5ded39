#include "server/model/password.h"

#include <crypt.h>
#include <fmt/format.h>
#include <pwquality.h>
#include <string.h>

#include <memory>

#include "common/status.h"
#include "server/model/validate.h"

namespace prov::model {
namespace {

constexpr std::string_view kScheme = "{CRYPT}";

// A copy for C interfaces, wiped when it goes.
class WipedCopy {
 public:
  explicit WipedCopy(std::string_view text) : text_(text) {}
  ~WipedCopy() { explicit_bzero(text_.data(), text_.size()); }
  const char* c_str() const { return text_.c_str(); }

 private:
  std::string text_;
};

struct SettingsDeleter {
  void operator()(pwquality_settings_t* settings) const { pwquality_free_settings(settings); }
};

}  // namespace

absl::Status CheckPassword(std::string_view field, std::string_view password, std::string_view login,
                           size_t least_characters) {
  if (password.empty()) return InvalidField(field, "is empty");
  if (password.size() > kMaxPasswordOctets) {
    return InvalidField(field, fmt::format("is longer than {} octets", kMaxPasswordOctets));
  }
  // Without the value: CheckText would echo it.
  if (!CheckText(field, password, kMaxPasswordOctets).ok()) {
    return InvalidField(field, "has a control character or is not valid UTF-8");
  }
  const std::unique_ptr<pwquality_settings_t, SettingsDeleter> settings(pwquality_default_settings());
  if (!settings) return absl::ResourceExhaustedError("no memory to check a password");
  pwquality_set_int_value(settings.get(), PWQ_SETTING_MIN_LENGTH, static_cast<int>(least_characters));
  const WipedCopy copy(password);
  // The name without its domain: "alice" must not be in alice's password.
  const std::string user(login.substr(0, login.find('@')));
  void* detail = nullptr;
  const int score = pwquality_check(settings.get(), copy.c_str(), nullptr, user.c_str(), &detail);
  if (score >= 0) return absl::OkStatus();
  char buffer[PWQ_MAX_ERROR_MESSAGE_LEN];
  const std::string why = pwquality_strerror(buffer, sizeof buffer, score, detail);
  if (score == PWQ_ERROR_MEM_ALLOC || score == PWQ_ERROR_FATAL_FAILURE)
    return absl::ResourceExhaustedError(why);
  return InvalidField(field, fmt::format("is too weak: {}", why));
}

absl::StatusOr<std::string> HashPassword(std::string_view password) {
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  // Count 0 is the library's default number of rounds; the salt comes from the kernel.
  if (crypt_gensalt_rn("$6$", 0, nullptr, 0, setting, sizeof setting) == nullptr) {
    return ErrnoStatus(errno, "crypt_gensalt");
  }
  const auto data = std::make_unique<crypt_data>();
  const WipedCopy copy(password);
  const char* hash = crypt_rn(copy.c_str(), setting, data.get(), sizeof *data);
  if (hash == nullptr) return ErrnoStatus(errno, "crypt");
  std::string result = fmt::format("{}{}", kScheme, hash);
  explicit_bzero(data.get(), sizeof *data);
  return result;
}

bool VerifyPassword(std::string_view hash, std::string_view password) {
  if (!hash.starts_with(kScheme)) return false;
  const std::string setting(hash.substr(kScheme.size()));
  const auto data = std::make_unique<crypt_data>();
  const WipedCopy copy(password);
  const char* made = crypt_rn(copy.c_str(), setting.c_str(), data.get(), sizeof *data);
  const bool same = made != nullptr && setting == made;
  explicit_bzero(data.get(), sizeof *data);
  return same;
}

absl::Status CheckPasswordHash(std::string_view field, std::string_view hash) {
  const auto malformed = [&] {
    return InvalidField(field, "must be {CRYPT}$6$salt$hash or {CRYPT}$y$parameters$salt$hash");
  };
  if (hash.size() > kMaxPasswordHashOctets || !hash.starts_with(kScheme)) return malformed();
  const std::string setting(hash.substr(kScheme.size()));
  if (!setting.starts_with("$6$") && !setting.starts_with("$y$")) return malformed();
  constexpr std::string_view kOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./$=";
  if (setting.find_first_not_of(kOctets) != std::string::npos) return malformed();
  // The library knows whether it could verify against this.
  if (crypt_checksalt(setting.c_str()) != CRYPT_SALT_OK) return malformed();
  return absl::OkStatus();
}

}  // namespace prov::model
