// Puts records into batches of bounded size.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "prov/v1/agent_sync.pb.h"

namespace prov::feed {

// Not thread-safe.
class BatchFiller {
 public:
  // A single record larger than `octets` travels alone.
  BatchFiller(size_t records, size_t octets) : max_records_(records), max_octets_(octets) {}

  void Add(v1::Record record);
  void AddRemoved(std::string key);

  // Whether a batch is full; Take then gives it, in the order in which records were added.
  bool HasFull() const { return !full_.empty(); }
  bool empty() const { return full_.empty() && open_records_ == 0; }
  // A full batch, or what there is; may be empty.
  v1::Batch Take();

 private:
  void MakeRoom(size_t octets);

  size_t max_records_;
  size_t max_octets_;
  std::deque<v1::Batch> full_;
  v1::Batch open_;
  size_t open_records_ = 0;
  size_t open_octets_ = 0;
};

}  // namespace prov::feed
