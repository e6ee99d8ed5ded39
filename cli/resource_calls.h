// What commands about one kind of resource have in common: all pages of a list, one that is shown, one that
// was written.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "cli/output.h"
#include "cli/session.h"
#include "common/status.h"

namespace prov::cli {

// "pools/main" → "main".
inline std::string ShortName(const std::string& name) { return name.substr(name.find('/') + 1); }

// Reads all pages into one answer.
template <typename Stub, typename Request, typename Response>
absl::Status ListAll(Session& session, Stub& stub,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     Request request, Response* all) {
  constexpr int kPage = 1000;
  request.set_page_size(kPage);
  do {
    Response page;
    PROV_RETURN_IF_ERROR(session.Invoke(
        [&](grpc::ClientContext* context) { return (stub.*method)(context, request, &page); }));
    request.set_page_token(page.next_page_token());
    page.clear_next_page_token();
    all->MergeFrom(page);
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

// Tells of a write, and waits for its revision if asked to.
template <typename Message>
absl::Status ReportWritten(Session& session, std::string_view done, const std::string& name,
                           const Message& written) {
  if (session.format() == Format::kJson) {
    fmt::print("{}", ToJson(written));
  } else if (!session.options.quiet) {
    fmt::print("{}\n", WriteText(session, done, Safe(name), written.revision()));
  }
  return session.WaitIfAsked(written.revision());
}

}  // namespace prov::cli
