#include "agents/mail/smtp/path.h"

#include <algorithm>
#include <utility>

#include "common/mail_address.h"
#include "common/status.h"
#include "common/utf8.h"

namespace prov::smtp {
namespace {

// RFC 5321 section 4.5.3.1.3 is 256 with brackets; a source route, which is read and refused, may add some.
constexpr size_t kMaxPathOctets = 1024;
// RFC 5321 section 4.5.3.1.1 has everybody take 64, and asks for no limit where that can be: senders
// rewritten by VERP or SRS are longer, and mean well.
constexpr size_t kMostLocalPartOctets = 200;
// Of what is not ASCII yet, NormaliseDomain checks the A-label's.
constexpr size_t kMaxLabelOctets = 63;

bool IsAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// RFC 5322 section 3.2.3.
bool IsAtext(char c) {
  return IsAlnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

absl::Status Wrong(const char* what) { return absl::InvalidArgumentError(what); }

// RFC 6531 section 3.3: UTF8-non-ascii is atext too. That it is UTF-8 was seen before.
bool IsEightBit(char c) { return static_cast<unsigned char>(c) > 0x7f; }

// Reads one path; each step takes from the front of what is left.
class PathParser {
 public:
  explicit PathParser(std::string_view input) : left_(input) {}

  absl::StatusOr<Path> Parse() {
    if (!Take('<')) return Wrong("a path begins with <");
    if (Take('>')) return Path{};
    if (Peek() == '@') PROV_RETURN_IF_ERROR(SourceRoute());
    const std::string_view start = left_;
    PROV_RETURN_IF_ERROR(Peek() == '"' ? QuotedString() : DotString());
    if (Peek() == '>' && !path_.quoted && FoldAddress(path_.local_part) == "postmaster") {
      path_.form = Path::Form::kPostmaster;
    } else {
      if (!Take('@')) return Wrong("an address is local-part@domain");
      PROV_RETURN_IF_ERROR(Peek() == '[' ? Literal() : Domain());
      path_.form = Path::Form::kMailbox;
    }
    path_.text = std::string(start.substr(0, start.size() - left_.size()));
    if (!domain_as_sent_.empty()) {
      path_.text.resize(path_.text.size() - domain_as_sent_.size());
      path_.text += path_.domain;
    }
    path_.utf8 = std::any_of(path_.local_part.begin(), path_.local_part.end(), IsEightBit);
    if (!Take('>')) return Wrong("a path ends with >");
    if (!IsValidUtf8(path_.text) || !IsValidUtf8(path_.local_part)) return Wrong("the address is not UTF-8");
    if (path_.local_part.size() > kMostLocalPartOctets) return Wrong("the local part is too long");
    if (path_.domain.size() > kMaxDomainOctets || path_.text.size() > kMaxAddressOctets) {
      return Wrong("the address is too long");
    }
    return std::move(path_);
  }
  std::string_view left() const { return left_; }

 private:
  char Peek() const { return left_.empty() ? '\0' : left_.front(); }
  bool Take(char c) {
    if (Peek() != c || left_.empty()) return false;
    left_.remove_prefix(1);
    return true;
  }

  // "@a,@b:" is obsolete (RFC 5321 appendix C): known, so that it can be refused by name.
  absl::Status SourceRoute() {
    path_.source_route = true;
    do {
      if (!Take('@')) return Wrong("a source route is @domain,@domain:");
      PROV_RETURN_IF_ERROR(Domain());
    } while (Take(','));
    path_.domain.clear();
    domain_as_sent_ = {};
    return Take(':') ? absl::OkStatus() : Wrong("a source route ends with a colon");
  }

  absl::Status DotString() {
    const std::string_view start = left_;
    while (IsAtext(Peek()) || IsEightBit(Peek()) || Peek() == '.') left_.remove_prefix(1);
    const std::string_view local = start.substr(0, start.size() - left_.size());
    if (local.empty() || local.front() == '.' || local.back() == '.' || local.find("..") != local.npos) {
      return Wrong("the local part is no dot-string");
    }
    path_.local_part = std::string(local);
    return absl::OkStatus();
  }

  absl::Status QuotedString() {
    path_.quoted = true;
    Take('"');
    while (!Take('"')) {
      Take('\\');
      if (left_.empty() || (Peek() >= 0 && Peek() < ' ') || Peek() == 0x7f)
        return Wrong("the quoted local part is not closed");
      path_.local_part += Peek();
      left_.remove_prefix(1);
    }
    return absl::OkStatus();
  }

  // Senders have underscores in practice, and no look-up minds.
  absl::Status Domain() {
    const std::string_view start = left_;
    size_t label = 0;
    char before = '.';
    for (; IsAlnum(Peek()) || Peek() == '-' || Peek() == '_' || Peek() == '.' || IsEightBit(Peek());
         left_.remove_prefix(1)) {
      const char c = Peek();
      if (c == '.' && (label == 0 || before == '-')) return Wrong("the domain has an empty or bad label");
      if (c == '-' && label == 0) return Wrong("a label of the domain begins with a hyphen");
      label = c == '.' ? 0 : label + 1;
      if (label > kMaxLabelOctets) return Wrong("a label of the domain is too long");
      before = c;
    }
    if (label == 0 || before == '-') return Wrong("the domain is not well-formed");
    const std::string_view domain = start.substr(0, start.size() - left_.size());
    if (std::any_of(domain.begin(), domain.end(), IsEightBit)) return Internationalized(domain);
    path_.domain = FoldAddress(domain);
    return absl::OkStatus();
  }

  absl::Status Internationalized(std::string_view domain) {
    PROV_ASSIGN_OR_RETURN(path_.domain, NormaliseDomain(domain));
    domain_as_sent_ = domain;
    return absl::OkStatus();
  }

  absl::Status Literal() {
    path_.literal = true;
    const size_t close = left_.find(']');
    if (close == left_.npos) return Wrong("the address literal is not closed");
    const std::string_view inside = left_.substr(1, close - 1);
    const bool plain = std::all_of(inside.begin(), inside.end(),
                                   [](char c) { return IsAlnum(c) || c == '.' || c == ':' || c == '-'; });
    if (inside.empty() || !plain) return Wrong("the address literal is not well-formed");
    path_.domain = FoldAddress(left_.substr(0, close + 1));
    left_.remove_prefix(close + 1);
    return absl::OkStatus();
  }

  std::string_view left_;
  std::string_view domain_as_sent_;  // when it became another
  Path path_;
};

}  // namespace

absl::StatusOr<Path> ParsePath(std::string_view& input) {
  if (input.substr(0, kMaxPathOctets).find('>') == input.npos)
    return Wrong("the path is not closed or too long");
  PathParser parser(input);
  auto path = parser.Parse();
  if (path.ok()) input = parser.left();
  return path;
}

}  // namespace prov::smtp
