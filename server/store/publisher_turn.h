// Which of several provd on one database publishes to the directory.
#pragma once

namespace prov::store {

// One thread at a time.
class PublisherTurn {
 public:
  virtual ~PublisherTurn() = default;
  // Takes the turn if nobody has it. Whether it is ours now; false when the database is away.
  virtual bool Hold() = 0;
  // Lets others have it.
  virtual void Release() = 0;
};

}  // namespace prov::store
