#include "server/store/request_fingerprint.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <pqxx/pqxx>

#include "common/random.h"
#include "common/status.h"
#include "server/store/postgres_error.h"

namespace prov::store {
namespace {

constexpr size_t kKeyOctets = 32;

}  // namespace

absl::StatusOr<RequestFingerprint> RequestFingerprint::Load(ConnectionPool& pool) {
  PROV_ASSIGN_OR_RETURN(const ConnectionPool::Lease lease, pool.Acquire());
  return Guarded("load the fingerprint key", [&]() -> absl::StatusOr<RequestFingerprint> {
    pqxx::work work(*lease);
    const std::string fresh = RandomOctets(kKeyOctets);
    // Whoever comes first makes it.
    work.exec_params(
        "INSERT INTO prov.secret (name, value) VALUES ('request_fingerprint', $1) ON CONFLICT DO NOTHING",
        pqxx::binarystring(fresh.data(), fresh.size()));
    const pqxx::row row = work.exec1("SELECT value FROM prov.secret WHERE name = 'request_fingerprint'");
    std::string key = pqxx::binarystring(row[0]).str();
    work.commit();
    return RequestFingerprint(std::move(key));
  });
}

std::string RequestFingerprint::Of(std::string_view method, std::string_view request) const {
  std::string text;
  text.reserve(method.size() + 1 + request.size());
  text.append(method).append(1, '\0').append(request);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &length);
  return std::string(reinterpret_cast<char*>(digest), length);
}

}  // namespace prov::store
