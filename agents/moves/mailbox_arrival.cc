#include "agents/moves/mailbox_arrival.h"

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "agents/mail/maildir/arrival.h"
#include "agents/mail/maildir/file_name.h"
#include "common/status.h"

namespace prov::moves {
namespace {

using maildir::Arrival;
using maildir::MessageFile;
using Report = v1::ReportMailboxMoveRequest;

// A pass that fetched no more than this leaves little for the moments in which nobody can log in.
constexpr size_t kFewMessages = 20;
// One sync for so many: whoever is killed fetches no more than those again.
constexpr size_t kMessagesInCommit = 1000;
constexpr uint64_t kOctetsInCommit = 64 << 20;
constexpr int kMostCopyPasses = 20;    // of a mailbox that is filled as quickly as it is copied
constexpr int kMostFinalPasses = 100;  // each finds mail that slipped in

class Bringing {
 public:
  Bringing(const ArrivalParts& parts, Arrival& arrival) : parts_(parts), arrival_(arrival) {}

  template <typename Work>
  auto AsOwner(const Work& work) const -> decltype(work()) {
    const drivers::ActAs owner(parts_.owner);
    if (!owner.ok()) return absl::PermissionDeniedError("cannot act as the engine's user");
    return work();
  }

  // Fetches what is there and not here; how many those were. `list` is what was there.
  absl::StatusOr<size_t> Pass(std::vector<MessageFile>& list) {
    PROV_ASSIGN_OR_RETURN(list, parts_.source->List());
    PROV_ASSIGN_OR_RETURN(const auto here, AsOwner([&] { return arrival_.Here(); }));
    std::vector<MessageFile> missing;
    total_ = copied_ = 0;
    for (const MessageFile& file : list) {
      total_ += file.octets;
      const auto found = here.find(std::string(maildir::BaseOf(file.name)));
      // A part of it may have got its name from a host that was cut off in the middle of that: not for ever.
      if (found == here.end() || found->second.octets != file.octets) {
        missing.push_back(file);
        continue;
      }
      copied_ += file.octets;
      const bool same = found->second.name == file.name && found->second.in_cur == file.in_cur;
      if (!same) PROV_RETURN_IF_ERROR(AsOwner([&] { return arrival_.Rename(found->second, file); }));
    }
    PROV_RETURN_IF_ERROR(Fetch(missing));
    return missing.size();
  }

  absl::Status Tell(Report::Step step) { return parts_.report(step, copied_, total_); }

 private:
  absl::Status Fetch(const std::vector<MessageFile>& missing) {
    if (missing.empty()) return absl::OkStatus();
    const TransferSource::Sink sink{
        .begin = [&](const MessageFile& file) { return AsOwner([&] { return arrival_.Begin(file); }); },
        .append =
            [&](std::string_view data) {
              copied_ += data.size();
              uncommitted_ += data.size();
              return arrival_.Append(data);  // into what is open already
            },
        .end =
            [&] {
              PROV_RETURN_IF_ERROR(arrival_.Finish());
              const bool enough =
                  arrival_.uncommitted() >= kMessagesInCommit || uncommitted_ >= kOctetsInCommit;
              if (enough) PROV_RETURN_IF_ERROR(Commit());
              return Tell(Report::UNDER_WAY);
            }};
    PROV_RETURN_IF_ERROR(parts_.source->Fetch(missing, sink));
    return Commit();
  }

  absl::Status Commit() {
    uncommitted_ = 0;
    return AsOwner([&] { return arrival_.Commit(); });
  }

  const ArrivalParts& parts_;
  Arrival& arrival_;
  uint64_t copied_ = 0, total_ = 0;  // octets
  uint64_t uncommitted_ = 0;
};

absl::Status Copy(Bringing& bringing) {
  std::vector<MessageFile> list;
  for (int pass = 0; pass < kMostCopyPasses; ++pass) {
    PROV_ASSIGN_OR_RETURN(const size_t fetched, bringing.Pass(list));
    if (fetched <= kFewMessages) break;
  }
  return bringing.Tell(Report::COPIED);
}

// The old mailbox is held first, so that what it lists is all there will be. What it does not list any more
// was deleted by its reader, but for what was adopted, and released there, by an earlier try: that is not
// staged.
absl::Status TakeTheRest(const ArrivalParts& parts, Arrival& arrival, Bringing& bringing) {
  for (int pass = 0; pass < kMostFinalPasses; ++pass) {
    PROV_RETURN_IF_ERROR(parts.source->Hold());
    std::vector<MessageFile> list;
    PROV_RETURN_IF_ERROR(bringing.Pass(list).status());
    std::set<std::string> bases;
    for (const MessageFile& file : list) bases.emplace(maildir::BaseOf(file.name));
    PROV_RETURN_IF_ERROR(bringing.AsOwner([&] {
      PROV_RETURN_IF_ERROR(arrival.DropAllBut(bases));
      return arrival.Adopt();
    }));
    PROV_ASSIGN_OR_RETURN(const bool gone, parts.source->Release(list));
    if (!gone) continue;
    PROV_RETURN_IF_ERROR(bringing.AsOwner([&] { return arrival.Close(); }));
    return bringing.Tell(Report::ARRIVED);
  }
  return absl::UnavailableError("mail keeps coming in at the old pool");
}

}  // namespace

absl::Status BringMailbox(const v1::MailboxTransit& transit, const ArrivalParts& parts) {
  std::unique_ptr<Arrival> arrival;
  {
    const drivers::ActAs owner(parts.owner);
    if (!owner.ok()) return absl::PermissionDeniedError("cannot act as the engine's user");
    PROV_ASSIGN_OR_RETURN(arrival, Arrival::Open(parts.root, transit.mailbox_id()));
  }
  Bringing bringing(parts, *arrival);
  return transit.switching() ? TakeTheRest(parts, *arrival, bringing) : Copy(bringing);
}

}  // namespace prov::moves
