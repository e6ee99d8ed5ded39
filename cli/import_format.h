// Rows of an import file, and of an export, which is the same: a JSON object a line, or CSV (RFC 4180). Pure.
//
// provctl-import(5) tells the fields. What a row does not name stays as it is; "_error", which a file of
// refused rows has, is passed over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prov/v1/subscribers.pb.h"

namespace prov::cli {

// Errors name the field and say what it must be.
absl::StatusOr<v1::ImportRow> RowOfJson(std::string_view line);
// Every field, in a fixed order; no line end. Equal subscribers have equal octets.
std::string JsonOf(const v1::Subscriber& subscriber);
// The line with "_error", or, where the line is no JSON object, an object that holds it as "_line".
std::string JsonWithError(std::string_view line, std::string_view error);

// INVALID_ARGUMENT if a column is unknown, or twice, or login is not among them.
absl::Status CheckCsvHeader(const std::vector<std::string>& header);
// CheckCsvHeader must have been OK.
absl::StatusOr<v1::ImportRow> RowOfCells(const std::vector<std::string>& header,
                                         const std::vector<std::string>& cells);
const std::vector<std::string>& CsvHeader();
std::vector<std::string> CellsOf(const v1::Subscriber& subscriber);  // one for each of CsvHeader()
// Cells as a line, quoted where needed, with its line end (CR LF, RFC 4180 section 2).
std::string CsvLine(const std::vector<std::string>& cells);

}  // namespace prov::cli
