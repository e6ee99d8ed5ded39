#include "agents/mail/queue/trace_query.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "agents/mail/queue/trace_log.h"
#include "common/file.h"
#include "common/mail_address.h"
#include "common/status.h"

namespace prov::queue {
namespace {

using Time = std::chrono::system_clock::time_point;

constexpr size_t kReadOctets = 64 << 10;
constexpr size_t kPieceOctets = 4 << 20;     // looked at in one Next
constexpr size_t kAnswerOctets = 256 << 10;  // told in one Next
constexpr std::string_view kTimeKey = "{\"time\":";
// A quotation mark within a value is written \", so this is found nowhere else.
constexpr std::string_view kTraceKey = "\"trace\":\"";
constexpr std::string_view kFollowsKey = "\"follows\":\"";  // the message that this one is a forward of
// Ids begin with the time, in milliseconds.
constexpr size_t kTimeDigitsOfId = 12;

Time TimeOf(std::string_view line) {
  int64_t value = 0;
  if (line.starts_with(kTimeKey))
    std::from_chars(line.data() + kTimeKey.size(), line.data() + line.size(), value);
  return Time(std::chrono::milliseconds(value));
}

// Of an id, which has nothing to be escaped; empty: there is none.
std::string ValueOf(std::string_view line, std::string_view key) {
  const size_t begin = line.find(key);
  if (begin == line.npos) return "";
  line.remove_prefix(begin + key.size());
  return std::string(line.substr(0, line.find('"')));
}

bool Names(const nlohmann::json& value, const std::string& address) {
  return value.is_string() && FoldAddress(value.get_ref<const std::string&>()) == address;
}

bool IsAbout(const std::string& line, const std::string& address) {
  const auto event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) return false;
  for (const char* key : {"sender", "recipient"}) {
    if (const auto found = event.find(key); found != event.end() && Names(*found, address)) return true;
  }
  const auto recipients = event.find("recipients");
  return recipients != event.end() && recipients->is_array() &&
         std::any_of(recipients->begin(), recipients->end(),
                     [&](const nlohmann::json& one) { return Names(one, address); });
}

}  // namespace

// Lines of one file; those that are too long are left out, as is a last one without an end.
class TraceReader::File {
 public:
  explicit File(FileDescriptor file) : file_(std::move(file)) {}

  // False at the end, and when it cannot be read on.
  bool Next(std::string& line) {
    for (;;) {
      if (const size_t end = text_.find('\n', begin_); end != text_.npos) {
        line.assign(text_, begin_, end - begin_);
        begin_ = end + 1;
        if (!std::exchange(skipping_, false)) return true;
        continue;
      }
      text_.erase(0, std::exchange(begin_, 0));
      if (text_.size() > kMaxTraceLineOctets) {
        text_.clear();
        skipping_ = true;
      }
      if (!Read()) return false;
    }
  }

 private:
  bool Read() {
    const size_t before = text_.size();
    text_.resize(before + kReadOctets);
    ssize_t got = 0;
    do {
      got = read(file_.get(), text_.data() + before, kReadOctets);
    } while (got < 0 && errno == EINTR);
    text_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
  }

  const FileDescriptor file_;
  std::string text_;
  size_t begin_ = 0;  // of what was not handed out
  bool skipping_ = false;
};

TraceReader::TraceReader(std::string directory, TraceQuery query)
    : directory_(std::move(directory)),
      query_(std::move(query)),
      traces_(query_.traces.begin(), query_.traces.end()) {}
TraceReader::~TraceReader() = default;

absl::Status TraceReader::BeginPass(Pass pass, Time from) {
  pass_ = pass;
  file_.reset();
  PROV_ASSIGN_OR_RETURN(names_, TraceFiles(directory_));
  const std::string first = TraceFileName(std::max(from, Time()));
  std::erase_if(names_, [&](const std::string& name) { return name < first; });
  std::reverse(names_.begin(), names_.end());
  return absl::OkStatus();
}

// False: there is none. One that was removed for its age meanwhile is passed over.
absl::StatusOr<bool> TraceReader::OpenNext() {
  while (!names_.empty()) {
    const std::string path = directory_ + "/" + names_.back();
    names_.pop_back();
    FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid() && errno == ENOENT) continue;
    if (!file.valid()) return ErrnoStatus(errno, path);
    file_ = std::make_unique<File>(std::move(file));
    return true;
  }
  return false;
}

void TraceReader::Remember(const std::string& trace) {
  if (!traces_.insert(trace).second) return;
  found_.push_back(trace);
  if (found_.size() <= query_.most_messages) return;
  traces_.erase(found_.front());
  found_.pop_front();
  cut_ = true;
}

void TraceReader::Find(const std::string& line) {
  if (TimeOf(line) < query_.since || FoldAddress(line).find(query_.address) == std::string::npos) return;
  const std::string trace = ValueOf(line, kTraceKey);
  if (!trace.empty() && IsAbout(line, query_.address)) Remember(trace);
}

// A forward begins after what it follows, so one pass finds a whole row of them.
bool TraceReader::IsWanted(const std::string& line) {
  const std::string trace = ValueOf(line, kTraceKey);
  if (traces_.contains(trace)) return true;
  const std::string follows = ValueOf(line, kFollowsKey);
  if (follows.empty() || !traces_.contains(follows)) return false;
  if (traces_.size() < kMostTracedMessages) {
    traces_.insert(trace);
  } else {
    cut_ = true;
  }
  return true;
}

// When the first of the messages came; as far as their ids tell.
Time TraceReader::Earliest() const {
  Time earliest = Time::max();
  for (const std::string& trace : traces_) {
    int64_t milliseconds = 0;
    const char* const end = trace.data() + std::min(trace.size(), kTimeDigitsOfId);
    const auto parsed = std::from_chars(trace.data(), end, milliseconds, 16);
    const bool is_time = trace.size() > kTimeDigitsOfId && parsed.ptr == end;
    earliest = std::min(earliest, is_time ? Time(std::chrono::milliseconds(milliseconds)) : Time());
  }
  return earliest;
}

absl::StatusOr<std::optional<std::vector<std::string>>> TraceReader::Next() {
  if (pass_ == Pass::kEnd) return std::nullopt;
  if (pass_ == Pass::kBegin && !query_.address.empty()) {
    PROV_RETURN_IF_ERROR(BeginPass(Pass::kFind, query_.since));
  } else if (pass_ == Pass::kBegin) {
    PROV_RETURN_IF_ERROR(BeginPass(Pass::kTell, Earliest()));
  }
  std::vector<std::string> lines;
  size_t looked = 0, told = 0;
  std::string line;
  while (looked < kPieceOctets && told < kAnswerOctets) {
    if (!file_) {
      PROV_ASSIGN_OR_RETURN(const bool another, OpenNext());
      if (!another) {
        const bool found = pass_ == Pass::kFind && !traces_.empty();
        if (found) PROV_RETURN_IF_ERROR(BeginPass(Pass::kTell, Earliest()));
        if (!found) pass_ = Pass::kEnd;
        return lines;
      }
    }
    if (!file_->Next(line)) {
      file_.reset();
      continue;
    }
    looked += line.size() + 1;
    if (pass_ == Pass::kFind) {
      Find(line);
    } else if (IsWanted(line)) {
      told += line.size();
      lines.push_back(line);
    }
  }
  return lines;
}

}  // namespace prov::queue
