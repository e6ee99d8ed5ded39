#include "cli/import_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output.h"
#include "common/status.h"

namespace prov::cli {
namespace {

using std::chrono::steady_clock;
using v1::ImportResult;

constexpr std::chrono::milliseconds kRedraw(200);

char SignOf(ImportResult::Action action) {
  switch (action) {
    case ImportResult::ADDED:
      return '+';
    case ImportResult::REMOVED:
      return '-';
    default:
      return '~';
  }
}

std::string ChangesText(const ImportResult& result) {
  std::string text;
  for (const v1::FieldChange& change : result.changes()) {
    text += change.field() == "password"
                ? "  password changes"
                : fmt::format("  {}: {} → {}", Safe(change.field()),
                              change.before().empty() ? "(none)" : Safe(change.before()),
                              change.after().empty() ? "(none)" : Safe(change.after()));
  }
  return text;
}

}  // namespace

ImportReport::ImportReport(const Session& session, const ImportFile& file, Options options)
    : session_(session),
      file_(file),
      options_(std::move(options)),
      start_(steady_clock::now()),
      shown_(start_) {}

ImportReport::~ImportReport() {
  if (rejects_ != nullptr) std::fclose(rejects_);
}

absl::Status ImportReport::Take(const std::vector<FileRow>& rows,
                                const v1::ImportSubscribersResponse& response) {
  revision_ = std::max(revision_, response.revision());
  for (size_t i = 0; i < rows.size(); ++i) {
    const ImportResult& result = response.results(static_cast<int>(i));
    ++rows_;
    ++counts_[result.action()];
    if (result.action() == ImportResult::REFUSED) {
      const v1::ImportError& error = result.error();
      PROV_RETURN_IF_ERROR(WriteReject(rows[i], fmt::format("{}: {}", error.field(), error.message())));
    }
    Show(rows[i], result);
  }
  for (const v1::ImportEffect& effect : response.effects()) {
    const auto same = [&](const v1::ImportEffect& other) { return other.follower() == effect.follower(); };
    auto found = std::find_if(effects_.begin(), effects_.end(), same);
    if (found == effects_.end()) {
      effects_.push_back(effect);
      continue;
    }
    found->set_adds(found->adds() + effect.adds());
    found->set_changes(found->changes() + effect.changes());
    found->set_removals(found->removals() + effect.removals());
  }
  ShowProgress(false);
  return absl::OkStatus();
}

absl::Status ImportReport::Refuse(const FileRow& row, const std::string& error) {
  ++rows_;
  ++counts_[ImportResult::REFUSED];
  if (session_.format() == Format::kJson) {
    ImportResult result;
    result.set_action(ImportResult::REFUSED);
    result.mutable_error()->set_message(error);
    Show(row, result);
  }
  return WriteReject(row, error);
}

// A plan is told row by row; a write only to programs, for it may be of a million rows.
void ImportReport::Show(const FileRow& row, const ImportResult& result) {
  if (options_.silent) return;
  if (session_.format() == Format::kJson) {
    nlohmann::ordered_json line;
    line["row"] = row.number;
    line["login"] = row.row.ok() ? row.row->subscriber().login() : "";
    line["result"] = nlohmann::ordered_json::parse(ToJson(result));
    fmt::print("{}\n", line.dump());
    return;
  }
  if (!session_.options.dry_run || session_.options.quiet) return;
  if (result.action() == ImportResult::UNCHANGED || result.action() == ImportResult::REFUSED) return;
  fmt::print("{} {}{}\n", SignOf(result.action()), Safe(row.row->subscriber().login()), ChangesText(result));
}

absl::Status ImportReport::WriteReject(const FileRow& row, const std::string& error) {
  if (!session_.options.quiet) fmt::print(stderr, "\r\033[Krow {}: {}\n", row.number, Safe(error));
  if (options_.rejects.empty()) return absl::OkStatus();
  if (rejects_ == nullptr) {
    rejects_ = std::fopen(options_.rejects.c_str(), "we");
    if (rejects_ == nullptr) return ErrnoStatus(errno, fmt::format("write {}", Safe(options_.rejects)));
    std::fputs(file_.RejectHeader().c_str(), rejects_);
  }
  std::fputs(file_.RejectLine(row, error).c_str(), rejects_);
  if (std::fflush(rejects_) != 0) return ErrnoStatus(errno, fmt::format("write {}", Safe(options_.rejects)));
  return absl::OkStatus();
}

void ImportReport::ShowProgress(bool last) {
  if (options_.silent || session_.options.quiet || isatty(STDERR_FILENO) == 0) return;
  const auto now = steady_clock::now();
  if (!last && now - shown_ < kRedraw) return;
  shown_ = now;
  const double seconds = std::max(std::chrono::duration<double>(now - start_).count(), 0.001);
  const double rate = static_cast<double>(rows_) / seconds;
  std::string bar;
  if (file_.octets_total() > 0) {
    const double part =
        std::min(1.0, static_cast<double>(file_.octets_read()) / static_cast<double>(file_.octets_total()));
    constexpr int kWidth = 30;
    const int full = static_cast<int>(part * kWidth);
    bar = fmt::format("[{:#<{}}{:.<{}}] {:3.0f} %, {:.0f} s to go, ", "", full, "", kWidth - full, part * 100,
                      part > 0 ? seconds / part - seconds : 0.0);
  }
  fmt::print(stderr, "\r{}{} rows, {:.0f} a second\033[K{}", bar, rows_, rate, last ? "\n" : "");
}

void ImportReport::ShowEffects() const {
  Table table({"FOLLOWER", "ADDS", "CHANGES", "REMOVALS"});
  std::vector<std::vector<std::string>> rows;
  for (const v1::ImportEffect& effect : effects_) {
    rows.push_back({effect.follower(), std::to_string(effect.adds()), std::to_string(effect.changes()),
                    std::to_string(effect.removals())});
  }
  fmt::print("{}", table.Rows(rows));
}

absl::Status ImportReport::End() {
  ShowProgress(true);
  const auto count = [&](ImportResult::Action action) {
    const auto found = counts_.find(action);
    return found == counts_.end() ? 0 : found->second;
  };
  if (session_.format() == Format::kJson) {
    nlohmann::ordered_json line;
    line["rows"] = rows_;
    line["added"] = count(ImportResult::ADDED);
    line["changed"] = count(ImportResult::CHANGED);
    line["unchanged"] = count(ImportResult::UNCHANGED);
    line["removed"] = count(ImportResult::REMOVED);
    line["refused"] = count(ImportResult::REFUSED);
    line["revision"] = revision_;
    for (const v1::ImportEffect& effect : effects_)
      line["effects"].push_back(nlohmann::ordered_json::parse(ToJson(effect)));
    fmt::print("{}\n", line.dump());
  } else if (!session_.options.quiet) {
    if (session_.options.dry_run) ShowEffects();
    fmt::print("{}{} added, {} changed, {} unchanged, {} removed, {} refused\n",
               session_.options.dry_run ? "would be: " : "", count(ImportResult::ADDED),
               count(ImportResult::CHANGED), count(ImportResult::UNCHANGED), count(ImportResult::REMOVED),
               count(ImportResult::REFUSED));
  }
  if (refused() == 0) return absl::OkStatus();
  return InvalidField(
      "rows", fmt::format("{} were refused{}", refused(),
                          rejects_ == nullptr
                              ? "; --rejects FILE keeps them"
                              : fmt::format("; mend them in {} and import that", Safe(options_.rejects))));
}

uint64_t ImportReport::refused() const {
  const auto found = counts_.find(ImportResult::REFUSED);
  return found == counts_.end() ? 0 : found->second;
}

std::string RowErrorText(const absl::Status& status) {
  const std::vector<FieldViolation> violations = ViolationsOf(status);
  if (violations.empty()) return std::string(MessageOf(status));
  return fmt::format("{}: {}", violations.front().field, violations.front().description);
}

}  // namespace prov::cli
