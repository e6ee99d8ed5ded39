#include "cli/import_file.h"

#include <csv.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <utility>
#include <vector>

#include "cli/import_format.h"
#include "cli/output.h"
#include "common/status.h"

namespace prov::cli {
namespace {

constexpr size_t kMaxRowOctets = 256 << 10;
constexpr size_t kMaxCells = 256;
constexpr size_t kBlock = 16 << 10;

struct CloseFile {
  void operator()(FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};
using File = std::unique_ptr<FILE, CloseFile>;

class NdjsonFile final : public ImportFile {
 public:
  NdjsonFile(File file, uint64_t total) : file_(std::move(file)) { octets_total_ = total; }

  absl::StatusOr<std::optional<FileRow>> Next() override {
    for (;;) {
      FileRow row;
      PROV_ASSIGN_OR_RETURN(const bool more, ReadLine(row.text));
      if (!more) return std::optional<FileRow>();
      row.number = ++line_;
      if (row.text.find_first_not_of(" \t\r") == std::string::npos) continue;
      row.row = RowOfJson(row.text);
      return std::optional<FileRow>(std::move(row));
    }
  }
  std::string RejectHeader() const override { return ""; }
  std::string RejectLine(const FileRow& row, const std::string& error) const override {
    return JsonWithError(row.text, error) + "\n";
  }

 private:
  absl::StatusOr<bool> ReadLine(std::string& line) {
    int octet = 0;
    while ((octet = std::getc(file_.get())) != EOF) {
      ++octets_read_;
      if (octet == '\n') return true;
      if (line.size() == kMaxRowOctets) {
        return InvalidField(fmt::format("line {}", line_ + 1),
                            fmt::format("is longer than {} octets", kMaxRowOctets));
      }
      line += static_cast<char>(octet);
    }
    if (std::ferror(file_.get())) return ErrnoStatus(errno, "read the import file");
    return !line.empty();
  }

  const File file_;
  uint64_t line_ = 0;
};

class CsvFile final : public ImportFile {
 public:
  CsvFile(File file, uint64_t total) : file_(std::move(file)) {
    octets_total_ = total;
    // Strict: a stray quote is an error, not a guess. Spaces are part of a cell (RFC 4180 section 2.4).
    csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_space_func(&parser_, [](unsigned char) { return 0; });
  }
  ~CsvFile() override { csv_free(&parser_); }

  absl::Status ReadHeader() {
    PROV_ASSIGN_OR_RETURN(const bool any, Fill());
    if (!any)
      return InvalidField("header", "is missing: the first line names the columns, such as login,plan");
    header_ = std::move(records_.front());
    records_.pop_front();
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // spreadsheets write it
    if (header_.front().starts_with(kByteOrderMark)) header_.front().erase(0, kByteOrderMark.size());
    return CheckCsvHeader(header_);
  }

  absl::StatusOr<std::optional<FileRow>> Next() override {
    PROV_ASSIGN_OR_RETURN(const bool more, Fill());
    if (!more) return std::optional<FileRow>();
    FileRow row;
    row.number = ++record_;
    row.text = CsvLine(records_.front());
    row.row = RowOfCells(header_, records_.front());
    records_.pop_front();
    return std::optional<FileRow>(std::move(row));
  }
  std::string RejectHeader() const override { return WithError(CsvLine(header_), "_error"); }
  std::string RejectLine(const FileRow& row, const std::string& error) const override {
    return WithError(row.text, error);
  }

 private:
  // Until there is a record, or the end.
  absl::StatusOr<bool> Fill() {
    char block[kBlock];
    while (records_.empty() && !ended_) {
      const size_t size = std::fread(block, 1, sizeof block, file_.get());
      if (size == 0 && std::ferror(file_.get())) return ErrnoStatus(errno, "read the import file");
      octets_read_ += size;
      ended_ = size == 0;
      const bool good = ended_ ? csv_fini(&parser_, TakeCell, TakeEnd, this) == 0
                               : csv_parse(&parser_, block, size, TakeCell, TakeEnd, this) == size;
      if (!good) return Malformed(csv_strerror(csv_error(&parser_)));
      if (parser_.entry_pos > kMaxRowOctets || cells_.size() > kMaxCells) return Malformed("it is too long");
    }
    return !records_.empty();
  }

  absl::Status Malformed(const char* why) const {
    return InvalidField(
        fmt::format("record {}", record_ + records_.size() + 1),
        fmt::format("cannot be read as CSV: {}; a quote within a cell is doubled, and the cell quoted", why));
  }

  static std::string WithError(const std::string& line, const std::string& error) {
    constexpr size_t kLineEnd = 2;
    return line.substr(0, line.size() - kLineEnd) + "," + CsvLine({error});
  }

  static void TakeCell(void* data, size_t size, void* self) {
    static_cast<CsvFile*>(self)->cells_.emplace_back(static_cast<const char*>(data), size);
  }
  static void TakeEnd(int, void* self) {
    auto& file = *static_cast<CsvFile*>(self);
    file.records_.push_back(std::exchange(file.cells_, {}));
  }

  const File file_;
  csv_parser parser_;
  std::vector<std::string> header_;
  std::vector<std::string> cells_;
  std::deque<std::vector<std::string>> records_;
  bool ended_ = false;
  uint64_t record_ = 0;
};

}  // namespace

ImportFormat FormatOf(const std::string& name, const std::string& path) {
  if (name == "csv" || (name.empty() && path.ends_with(".csv"))) return ImportFormat::kCsv;
  return ImportFormat::kNdjson;
}

absl::StatusOr<std::unique_ptr<ImportFile>> ImportFile::Open(const std::string& path, ImportFormat format) {
  File file(path == "-" ? stdin : std::fopen(path.c_str(), "re"));
  if (file == nullptr) return ErrnoStatus(errno, fmt::format("open {}", Safe(path)));
  std::error_code unknown;
  uint64_t total = path == "-" ? 0 : std::filesystem::file_size(path, unknown);
  if (unknown) total = 0;
  if (format == ImportFormat::kNdjson) {
    return std::unique_ptr<ImportFile>(std::make_unique<NdjsonFile>(std::move(file), total));
  }
  auto csv = std::make_unique<CsvFile>(std::move(file), total);
  PROV_RETURN_IF_ERROR(csv->ReadHeader());
  return std::unique_ptr<ImportFile>(std::move(csv));
}

}  // namespace prov::cli
