#include "server/feed/batch_filler.h"

#include <utility>

namespace prov::feed {
namespace {

constexpr size_t kFieldOctets = 6;  // tag and length in front of a record or key, at most

}  // namespace

void BatchFiller::MakeRoom(size_t octets) {
  if (open_records_ > 0 && (open_records_ >= max_records_ || open_octets_ + octets > max_octets_)) {
    full_.push_back(std::move(open_));
    open_.Clear();
    open_records_ = 0;
    open_octets_ = 0;
  }
  ++open_records_;
  open_octets_ += octets;
}

void BatchFiller::Add(v1::Record record) {
  MakeRoom(record.ByteSizeLong() + kFieldOctets);
  *open_.add_records() = std::move(record);
}

void BatchFiller::AddRemoved(std::string key) {
  MakeRoom(key.size() + kFieldOctets);
  open_.add_removed_keys(std::move(key));
}

v1::Batch BatchFiller::Take() {
  v1::Batch batch;
  if (!full_.empty()) {
    batch = std::move(full_.front());
    full_.pop_front();
    return batch;
  }
  batch = std::move(open_);
  open_.Clear();
  open_records_ = 0;
  open_octets_ = 0;
  return batch;
}

}  // namespace prov::feed
