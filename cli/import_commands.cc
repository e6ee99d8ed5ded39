// import, export.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "cli/commands.h"
#include "cli/import_file.h"
#include "cli/import_format.h"
#include "cli/import_report.h"
#include "cli/import_stream.h"
#include "cli/subscriber_input.h"
#include "common/status.h"
#include "prov/v1/subscribers.grpc.pb.h"

namespace prov::cli {
namespace {

using v1::Subscriber;
using v1::Subscribers;

constexpr int kPage = 1000;

// Every subscriber of the filter, page by page; `take` may stop it with an error.
template <typename Take>
absl::Status ForEachSubscriber(Session& session, const std::string& filter, bool show_deleted,
                               const Take& take) {
  PROV_RETURN_IF_ERROR(CheckUtf8("filter", filter));
  auto stub = Subscribers::NewStub(session.channel());
  v1::ListSubscribersRequest request;
  request.set_filter(filter);
  request.set_show_deleted(show_deleted);
  request.set_page_size(kPage);
  do {
    v1::ListSubscribersResponse page;
    session.RestartTimeout();
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return stub->ListSubscribers(context, request, &page); }));
    for (const Subscriber& subscriber : page.subscribers()) PROV_RETURN_IF_ERROR(take(subscriber));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

struct Import {
  std::string file, format, rejects, sync;
  int64_t max_removals = -1;  // not given
};

// One way through the file. `named`: the subscribers that rows are about, by resource name.
absl::Status SendFile(Session& session, const Import& o, bool validate_only, ImportReport& report,
                      ImportFile& file, std::unordered_set<std::string>* named) {
  ImportStream stream(session.channel(), {validate_only, session.timeout()},
                      [&](const std::vector<FileRow>& rows, const v1::ImportSubscribersResponse& response) {
                        if (named != nullptr) {
                          for (const v1::ImportResult& result : response.results())
                            named->insert(result.name());
                        }
                        return report.Take(rows, response);
                      });
  for (;;) {
    PROV_ASSIGN_OR_RETURN(std::optional<FileRow> row, file.Next());
    if (!row) return stream.Finish();
    if (row->row.ok()) {
      PROV_RETURN_IF_ERROR(stream.Add(*std::move(row)));
    } else {
      PROV_RETURN_IF_ERROR(report.Refuse(*row, RowErrorText(row->row.status())));
    }
  }
}

// The logins of the selection that the file does not name.
struct Missing {
  std::vector<std::string> logins;
  uint64_t selected = 0;
};

absl::StatusOr<Missing> FindMissing(Session& session, const Import& o,
                                    const std::unordered_set<std::string>& named) {
  Missing missing;
  PROV_RETURN_IF_ERROR(ForEachSubscriber(session, o.sync, false, [&](const Subscriber& subscriber) {
    ++missing.selected;
    if (!named.count(subscriber.name())) missing.logins.push_back(subscriber.login());
    return absl::OkStatus();
  }));
  return missing;
}

// A file that was cut off, or the wrong one, must not close a provider's customers.
absl::Status CheckRemovals(const Import& o, const Missing& missing) {
  constexpr uint64_t kAlwaysAllowed = 10;
  constexpr uint64_t kShare = 20;  // 5 %
  const uint64_t most = o.max_removals >= 0 ? static_cast<uint64_t>(o.max_removals)
                                            : std::max(kAlwaysAllowed, missing.selected / kShare);
  if (missing.logins.size() <= most) return absl::OkStatus();
  return FieldError(
      absl::StatusCode::kFailedPrecondition, "--sync", "TOO_MANY_REMOVALS",
      fmt::format(
          "the file would close {} of the {} subscribers selected, and {} is the most; nothing was done. "
          "--dry-run --max-removals {} shows them; without --dry-run it closes them",
          missing.logins.size(), missing.selected, most, missing.logins.size()));
}

absl::Status SendRemovals(Session& session, bool validate_only, const Missing& missing,
                          ImportReport& report) {
  ImportStream stream(session.channel(), {validate_only, session.timeout()},
                      [&](const std::vector<FileRow>& rows, const v1::ImportSubscribersResponse& response) {
                        return report.Take(rows, response);
                      });
  for (const std::string& login : missing.logins) {
    FileRow row;
    row.row->mutable_subscriber()->set_login(login);
    row.row->mutable_subscriber()->set_state(Subscriber::CLOSED);
    row.row->mutable_fields()->add_paths("state");
    row.text = fmt::format("{{\"login\":\"{}\",\"state\":\"CLOSED\"}}", login);
    PROV_RETURN_IF_ERROR(stream.Add(std::move(row)));
  }
  return stream.Finish();
}

// Nothing is written before the whole file has been tried, and nobody is closed by a file with rows that
// provd does not understand: one of them may be about just that subscriber.
absl::Status PlanSync(Session& session, const Import& o, ImportReport& report, ImportFile& file,
                      Missing& missing) {
  std::unordered_set<std::string> named;
  PROV_RETURN_IF_ERROR(SendFile(session, o, true, report, file, &named));
  if (report.refused() > 0) {
    return FieldError(absl::StatusCode::kFailedPrecondition, "--sync", "ROWS_REFUSED",
                      fmt::format("{} rows were refused; nothing was done", report.refused()));
  }
  PROV_ASSIGN_OR_RETURN(missing, FindMissing(session, o, named));
  return CheckRemovals(o, missing);
}

absl::Status RunImport(Session& session, const Import& o) {
  const ImportFormat format = FormatOf(o.format, o.file);
  const bool sync = !o.sync.empty(), dry_run = session.options.dry_run;
  if (sync && o.file == "-") {
    return InvalidField("--sync", "needs a file: it is read twice, so that nothing is done by half of it");
  }
  PROV_RETURN_IF_ERROR(CheckUtf8("--sync", o.sync));
  Missing missing;
  if (sync && !dry_run) {
    PROV_ASSIGN_OR_RETURN(const auto file, ImportFile::Open(o.file, format));
    ImportReport plan(session, *file, {.rejects = o.rejects, .silent = true});
    PROV_RETURN_IF_ERROR(PlanSync(session, o, plan, *file, missing));
  }
  PROV_ASSIGN_OR_RETURN(const auto file, ImportFile::Open(o.file, format));
  ImportReport report(session, *file, {.rejects = o.rejects});
  PROV_RETURN_IF_ERROR(sync && dry_run ? PlanSync(session, o, report, *file, missing)
                                       : SendFile(session, o, dry_run, report, *file, nullptr));
  PROV_RETURN_IF_ERROR(SendRemovals(session, dry_run, missing, report));
  PROV_RETURN_IF_ERROR(report.End());
  return session.WaitIfAsked(report.revision());
}

struct Export {
  std::string filter, format;
  bool show_deleted = false;
};

absl::Status RunExport(Session& session, const Export& o) {
  const bool csv = FormatOf(o.format, "") == ImportFormat::kCsv;
  if (csv) fmt::print("{}", CsvLine(CsvHeader()));
  return ForEachSubscriber(session, o.filter, o.show_deleted, [&](const Subscriber& subscriber) {
    fmt::print("{}", csv ? CsvLine(CellsOf(subscriber)) : JsonOf(subscriber) + "\n");
    return std::ferror(stdout) ? ErrnoStatus(errno, "standard output") : absl::OkStatus();
  });
}

}  // namespace

void AddImportCommands(CLI::App& app, Action& chosen) {
  auto import = std::make_shared<Import>();
  CLI::App* command = AddCommand(
      app, chosen, "import",
      "Add, change and close subscribers as a file says, row by row: NDJSON or CSV, provctl-import(5).\n"
      "What a row does not name stays as it is; begun again, an import changes only what is not done.\n"
      "Example: provctl import customers.csv --dry-run",
      import, RunImport);
  command->add_option("file", import->file, "the file; - is standard input")->required();
  command->add_option("--format", import->format, "else by the file's name: .csv is CSV")
      ->check(CLI::IsMember({"ndjson", "csv"}));
  command->add_option("--rejects", import->rejects, "write refused rows there, each with its error");
  command->add_option(
      "--sync", import->sync,
      "close the subscribers of this filter that the file does not name: 'labels.billing = \"crm1\"'");
  command
      ->add_option("--max-removals", import->max_removals,
                   "close at most so many; default: a twentieth of those selected, or 10")
      ->check(CLI::NonNegativeNumber)
      ->needs("--sync");

  auto exported = std::make_shared<Export>();
  command = AddCommand(app, chosen, "export",
                       "Write subscribers as import reads them; the same subscribers give the same octets.\n"
                       "Passwords are never written.\n"
                       "Example: provctl export --filter 'domain = \"example.net\"' > example.net.ndjson",
                       exported, RunExport);
  command->add_option("--filter", exported->filter,
                      "terms on state, domain, login (x* for a prefix), labels.KEY, joined by AND");
  command->add_option("--format", exported->format, "ndjson, the default, or csv")
      ->check(CLI::IsMember({"ndjson", "csv"}));
  command->add_flag("--show-deleted", exported->show_deleted, "closed ones as well");
}

}  // namespace prov::cli
