// What an import tells: row by row, in numbers, and the refused rows in a file of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/import_file.h"
#include "cli/session.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

class ImportReport {
 public:
  struct Options {
    std::string rejects;  // refused rows go there, a file that is made for the first one; "": nowhere
    bool silent = false;  // tell refused rows alone
  };
  ImportReport(const Session& session, const ImportFile& file, Options options);
  ~ImportReport();

  absl::Status Take(const std::vector<FileRow>& rows, const v1::ImportSubscribersResponse& response);
  // A row that was refused before it was sent.
  absl::Status Refuse(const FileRow& row, const std::string& error);

  // The end of it: numbers, and with --dry-run what directory and hosts would have to do. Not OK if rows were
  // refused.
  absl::Status End();

  uint64_t revision() const { return revision_; }  // of the last write
  uint64_t refused() const;

 private:
  void Show(const FileRow& row, const v1::ImportResult& result);
  void ShowEffects() const;
  void ShowProgress(bool last);
  absl::Status WriteReject(const FileRow& row, const std::string& error);

  const Session& session_;
  const ImportFile& file_;
  const Options options_;
  std::FILE* rejects_ = nullptr;

  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
  uint64_t rows_ = 0;
  std::map<v1::ImportResult::Action, uint64_t> counts_;
  std::vector<v1::ImportEffect> effects_;
  uint64_t revision_ = 0;
};

// The first line of the error, without "provctl: ".
std::string RowErrorText(const absl::Status& status);

}  // namespace prov::cli
