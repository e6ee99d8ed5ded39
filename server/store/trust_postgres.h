// Trust as the database has it, the same in every provd.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <pqxx/connection>
#include <string>
#include <thread>

#include "server/store/trust.h"

namespace prov::store {

// Looks once a second whether the version of prov.trust has moved (one row by key), and reads what is
// withdrawn only then. With the database away it goes on with what it knows.
class PostgresTrust final : public Trust {
 public:
  explicit PostgresTrust(std::string conninfo);
  ~PostgresTrust() override;

  // Reads what is withdrawn. To be called before anything is served; and after a write that changes it, so
  // that this provd knows at once.
  absl::Status Refresh();
  // Begins to look by itself.
  void Start();
  void Stop();

  absl::Status Check(const std::string& identity, const std::string& serial) const override;

 private:
  void Loop();

  const std::string conninfo_;

  std::mutex reading_;  // one reader at a time; taken before mutex_
  std::unique_ptr<pqxx::connection> connection_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  int64_t version_ = -1;
  std::shared_ptr<const Withdrawn> withdrawn_ = std::make_shared<Withdrawn>();
  std::thread thread_;
};

}  // namespace prov::store
