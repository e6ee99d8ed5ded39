// An import file, row by row; memory does not grow with its length.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

enum class ImportFormat { kNdjson, kCsv };

// "ndjson", "csv", or, when `name` is empty, by the file's ending; NDJSON if that tells nothing.
ImportFormat FormatOf(const std::string& name, const std::string& path);

struct FileRow {
  uint64_t number = 0;  // of the line in NDJSON, of the record behind the header in CSV; from 1
  std::string text;     // as it can be written to a file of the same format
  absl::StatusOr<v1::ImportRow> row = v1::ImportRow();
};

class ImportFile {
 public:
  // "-" is standard input. A CSV header that is not good is an error here.
  static absl::StatusOr<std::unique_ptr<ImportFile>> Open(const std::string& path, ImportFormat format);
  virtual ~ImportFile() = default;

  // Nothing at the end. A row that cannot be read has its error in `row`; an error of the whole is one that
  // leaves no way to find the next row, or one of reading.
  virtual absl::StatusOr<std::optional<FileRow>> Next() = 0;

  // How a refused row is written, with its error; and what stands before the first.
  virtual std::string RejectHeader() const = 0;
  virtual std::string RejectLine(const FileRow& row, const std::string& error) const = 0;

  uint64_t octets_read() const { return octets_read_; }
  uint64_t octets_total() const { return octets_total_; }  // 0: not known

 protected:
  uint64_t octets_read_ = 0;
  uint64_t octets_total_ = 0;
};

}  // namespace prov::cli
