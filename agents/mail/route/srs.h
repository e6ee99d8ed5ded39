// The Sender Rewriting Scheme: forwarded mail comes from an address of ours, which leads back to its sender.
// As libsrs, postsrsd and Mail::SRS write it, so that hosts with the same secrets understand each other's:
// https://www.libsrs2.org/srs/srs.pdf
//
//   alice@example.org                       SRS0=hash=day=example.org=alice@srs.example.net
//   SRS0=…@elsewhere.example                SRS1=hash=elsewhere.example==…@srs.example.net
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prov::route {

// So long answers to a rewritten address are taken.
constexpr int kSrsDays = 21;

// Thread-safe, for nothing in it changes.
class SenderRewriting {
 public:
  // `secrets`: the first signs, all verify; none is empty, and there is one at least.
  SenderRewriting(std::string domain, std::vector<std::string> secrets);
  // The secrets are the lines of a file. INVALID_ARGUMENT when it has none, or the domain is none.
  static absl::StatusOr<SenderRewriting> Load(const std::string& domain, const std::string& secret_file);

  using Time = std::chrono::system_clock::time_point;

  // `sender` is local-part@domain. Itself when it is of our domain already, or when the result would be
  // refused for its length or what is in it.
  std::string Rewrite(std::string_view sender, Time now) const;

  // Whether an address is of the domain, and looks rewritten: then Restore says whether it is.
  bool IsRewritten(std::string_view local_part, std::string_view domain) const;
  // Where mail to it goes: the sender, or the rewritten address of the host before. `now`: an address that is
  // too old is none; nothing: its age does not count. NOT_FOUND: not ours.
  absl::StatusOr<std::string> Restore(std::string_view local_part, std::optional<Time> now) const;

  const std::string& domain() const { return domain_; }

 private:
  bool Verifies(std::string_view hash, std::string_view signed_text) const;

  std::string domain_;
  std::vector<std::string> secrets_;
};

}  // namespace prov::route
